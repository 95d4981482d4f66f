import json
import math
import random

import numpy as np
import pytest

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.length_history import LengthHistory


def group(rows, number=0, origin="policy"):
    problem = Problem(id=f"a/train/{number}", task="a", prompt=(), reference="5")
    return Group(
        problem,
        tuple(
            Trajectory(problem=problem, sample=i, text="", tokens=np.arange(n), verdict=Verdict(o), origin=origin)
            for i, (o, n) in enumerate(rows)
        ),
    )


def slow(length, right, record, shape):
    if record is None:
        return 0.0
    if shape == "cosine":
        f = math.cos(math.pi / 2 * length / record) if length < 2 * record else -1.0
    elif length < record:
        f = 1 - length / record
    elif length < 1.1 * record:
        f = 0.0
    else:
        f = -(length - 1.1 * record) / record
    return max(-0.7, f) if right else max(-1.0, min(0.0, f))


@pytest.mark.parametrize("track", ["shortest", "mean"])
@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_against_a_loop_over_steps(shape, track):
    draw, history = random.Random(7), LengthHistory(shape=shape, track=track)
    seen: dict[int, list[int]] = {}
    state = history.init()
    for _ in range(40):
        step = [
            (n, [(draw.choice(("right", "wrong")), draw.randrange(1, 60)) for _ in range(draw.choice((1, 4)))])
            for n in draw.sample(range(6), 3)
        ]
        groups = [group(rows, number) for number, rows in step]
        for made, (number, rows) in zip(groups, step, strict=True):
            known = seen.get(number)
            record = None if known is None else min(known) if track == "shortest" else sum(known) / len(known)
            expected = [slow(length, outcome == "right", record, shape) for outcome, length in rows]
            np.testing.assert_allclose(history(made, state), expected, atol=1e-9)
        state = json.loads(json.dumps(history.update(state, groups)))
        for number, rows in step:
            rights = [length for outcome, length in rows if outcome == "right"]
            if rights:
                seen.setdefault(number, []).extend(rights)
    assert {name: entry[1] for name, entry in state.items()} == {f"a/train/{n}": len(v) for n, v in seen.items()}


def test_any_right_answer_is_worth_more_than_any_wrong_one():
    rows = [("right", n) for n in range(1, 200, 9)] + [("wrong", n) for n in range(1, 200, 9)]
    for shape in ("cosine", "linear"):
        values = LengthHistory(shape=shape)(group(rows), {"a/train/0": [20.0, 1]})
        worth = values + [outcome == "right" for outcome, _ in rows]
        assert worth[: len(rows) // 2].min() > worth[len(rows) // 2 :].max()


def test_a_record_is_never_given_up_and_belongs_to_one_problem():
    history = LengthHistory()
    state = history.update(history.init(), [group([("right", 20), ("wrong", 5)]), group([("wrong", 9)], 1)])
    state = history.update(state, [group([("right", 50)])])
    assert state == {"a/train/0": [20.0, 2]}
    assert history(group([("right", 10)]), state)[0] > 0 == history(group([("right", 10)], 1), state)[0]


def test_what_others_wrote_or_nobody_measured_sets_no_record():
    history = LengthHistory()
    given = [group([("right", 5)], origin="expert"), group([("right", 0)], 1)]
    assert history.update(history.init(), given) == {}
