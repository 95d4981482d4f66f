import json
import random
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from strop.controllers.length_targets import LengthTargets
from strop.recipes.grpo import grpo
from strop.records import Group, Problem, Report, Trajectory, Verdict
from strop.rewards.length_target import LengthTarget

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")
NOTHING = Report({})


def group(rows, origin="policy"):
    return Group(
        PROBLEM,
        tuple(
            Trajectory(problem=PROBLEM, sample=i, text="", tokens=np.arange(n), verdict=Verdict(o), origin=origin)
            for i, (o, n) in enumerate(rows)
        ),
    )


def slow(groups, grid, coverage):
    """Each target on the grid, each attempt of the band."""
    lengths = [[], [], []]
    for rows in groups:
        share = sum(outcome == "right" for outcome, _ in rows) / len(rows)
        band = 0 if share > 2 / 3 else 1 if share > 1 / 3 else 2
        lengths[band] += [length for _, length in rows]
    found = []
    for band, share in zip(lengths, coverage, strict=True):
        enough = [at for at in grid if band and sum(n <= at for n in band) / len(band) >= share]
        found.append(min(enough) if enough else None)
    return found


def drawn(seed, center):
    draw = random.Random(seed)
    return [
        [(draw.choice(("right", "wrong")), max(1, round(draw.gauss(center, 20)))) for _ in range(draw.choice((3, 8)))]
        for _ in range(12)
    ]


def test_against_a_loop_over_steps():
    controller = LengthTargets(lower=10, upper=90, step=10, every=3)
    state, waiting = controller.init(), []
    for step in range(1, 10):
        rows = drawn(step, 20 + 5 * step)
        waiting += rows
        before = state["targets"]
        state = json.loads(json.dumps(controller.update(state, [group(each) for each in rows], NOTHING)))
        if step == 1 or step % 3 == 0:
            assert state["targets"] == slow(waiting, range(10, 91, 10), (0.2, 0.5, 1.0))
            waiting = []
        else:
            assert state["targets"] == before


def test_longer_responses_give_longer_targets_and_hard_problems_the_longest():
    controller = LengthTargets(lower=5, upper=500, step=5)
    short, long = (
        controller.update(controller.init(), [group(rows) for rows in drawn(0, center)], NOTHING)["targets"]
        for center in (40, 90)
    )
    assert all(a < b for a, b in zip(short, long, strict=True))
    assert short[0] < short[1] < short[2]


def test_the_stage_keeps_its_own_targets_until_there_are_others():
    controller = LengthTargets(path="rewards.0.targets", lower=10, upper=40, step=10)
    stage = replace(grpo().stages[0], rewards=(LengthTarget(targets=(7, 8, 9)),))
    assert controller.apply(controller.init(), stage) == stage
    assert controller.log(controller.init()) == {}
    state = controller.update(controller.init(), [group([("right", 12)] * 4)], NOTHING)
    assert controller.apply(state, stage).rewards[0].targets == (20, None, None)
    assert controller.log(state) == {"target_easy": 20.0}


def test_demonstrations_do_not_count():
    controller = LengthTargets()
    state = controller.update(controller.init(), [group([("right", 12)], origin="expert")], NOTHING)
    assert state["targets"] == [None, None, None]


def test_the_grid_goes_up():
    with pytest.raises(ValidationError, match="must not be above upper"):
        LengthTargets(lower=50, upper=40)
