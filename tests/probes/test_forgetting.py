"""What was solved on the way and is not at the end."""

import itertools
import random

import numpy as np
import pytest

from strop.errors import ConfigError
from strop.probes.forgetting import Forgetting
from strop.records import Group, Problem, Trajectory, Verdict
from strop.text import in_order

SCORES = ("ever_correct", "final", "forgetting", "lost")


def rollouts(table):
    """Groups of {problem: {checkpoint: [right, ...]}}, a group for each checkpoint."""
    groups = []
    for name, checkpoints in table.items():
        problem = Problem(id=name, task="a", prompt=(), reference="5")
        for checkpoint, rights in checkpoints.items():
            rows = (
                Trajectory(problem=problem, sample=i, text="", checkpoint=checkpoint,
                           verdict=Verdict("right" if right else "wrong"))
                for i, right in enumerate(rights)
            )  # fmt: skip
            groups.append(Group(problem, tuple(rows)))
    return groups


def greedy(table):
    """One attempt each, from {problem: "0110"}."""
    return rollouts({p: {f"step={i:06d}": [int(c)] for i, c in enumerate(said)} for p, said in table.items()})


def test_scores_by_hand():
    found = Forgetting()(greedy({"a": "110", "b": "011", "c": "100", "d": "000", "e": "010"}))
    assert [found[name] for name in ("problems", *SCORES)] == pytest.approx([5, 4 / 5, 1 / 5, 3 / 5, 2 / 5])
    assert found["accuracy"] == pytest.approx([2 / 5, 3 / 5, 1 / 5])
    first, second = found["transitions"]
    assert (first["from"], second["to"]) == ("step=000000", "step=000002")
    assert [first[n] for n in ("forget", "improve", "both_right", "both_wrong")] == pytest.approx([0.2, 0.4, 0.2, 0.2])
    assert [second[n] for n in ("forget", "improve", "both_right", "both_wrong")] == pytest.approx([0.4, 0, 0.2, 0.4])


def test_the_base_may_be_left_out_as_in_the_paper():
    found = Forgetting(base=False)(greedy({"a": "100", "b": "110", "c": "001", "d": "000"}))
    assert [found[name] for name in SCORES] == pytest.approx([2 / 4, 1 / 4, 1 / 4, 2 / 4])


def test_against_a_slow_loop():
    draw = random.Random(0)
    table = {f"p{i}": "".join(draw.choice("01") for _ in range(5)) for i in range(40)}
    found = Forgetting()(greedy(table))
    rows = list(table.values())
    expected = [
        sum("1" in row for row in rows),
        sum(row[-1] == "1" for row in rows),
        sum("1" in row and row[-1] == "0" for row in rows),
        sum(row[0] == "1" and row[-1] == "0" for row in rows),
    ]
    assert [40 * found[name] for name in SCORES] == pytest.approx(expected)


def test_several_attempts_count_as_every_choice_of_one_from_each_checkpoint():
    table = {"a": {"1": [1, 0], "2": [1, 0, 0], "3": [0, 1]}, "b": {"1": [1, 1], "2": [0, 0, 0], "3": [0, 0]}}
    found = Forgetting()(rollouts(table))
    totals = np.zeros(4)
    for checkpoints in table.values():
        choices = list(itertools.product(*checkpoints.values()))
        each = [(max(c), c[-1], max(c) - c[-1], c[0] * (1 - c[-1])) for c in choices]
        totals += np.mean(each, axis=0) / len(table)
    assert [found[name] for name in SCORES] == pytest.approx(totals)


def test_by_chance_is_the_mean_over_all_ways_to_deal_the_attempts():
    table = {"a": {"1": [1, 0], "2": [0, 0]}, "b": {"1": [1, 1], "2": [1, 0]}, "c": {"1": [0, 0], "2": [0, 0]}}
    expected = []
    for checkpoints in table.values():
        every = [right for rights in checkpoints.values() for right in rights]
        expected.append(np.mean([max(pair) - pair[1] for pair in itertools.permutations(every, 2)]))
    assert Forgetting()(rollouts(table))["by_chance"] == pytest.approx(np.mean(expected))


def test_numbers_in_names_are_compared_as_numbers():
    table = {"a": {"step-100": [0], "step-9": [1], "base": [1]}}
    found = Forgetting()(rollouts(table))
    assert found["checkpoints"] == ["base", "step-9", "step-100"]
    assert found["final"] == 0
    assert in_order(["10", "9", "2.5"]) == ["2.5", "9", "10"]


def test_an_order_of_ones_own():
    table = {"a": {"late": [0], "early": [1]}}
    assert Forgetting(order=("early", "late"))(rollouts(table))["lost"] == 1
    assert Forgetting(order=("late", "early"))(rollouts(table))["lost"] == 0
    with pytest.raises(ConfigError, match=r"differ in \['late'\]"):
        Forgetting(order=("early",))(rollouts(table))


def test_problems_that_a_checkpoint_did_not_try_are_left_out():
    table = {"a": {"1": [1], "2": [0]}, "b": {"1": [1]}}
    found = Forgetting()(rollouts(table))
    assert (found["problems"], found["left_out"], found["lost"]) == (1, 1, 1)
    with pytest.raises(ConfigError, match="No problem was tried by all"):
        Forgetting()(rollouts({"a": {"1": [1]}, "b": {"2": [1]}}))


def test_attempts_must_be_judged():
    problem = Problem(id="a", task="a", prompt=(), reference="5")
    bare = Group(problem, (Trajectory(problem=problem, sample=0, text="", checkpoint="1"),))
    with pytest.raises(ConfigError, match="judge them first"):
        Forgetting()([bare])


def test_a_model_that_never_changes_its_mind_forgets_nothing():
    found = Forgetting()(greedy({"a": "1111", "b": "0000", "c": "0011"}))
    assert (found["forgetting"], found["lost"]) == (0, 0)
    assert all(row["forget"] == 0 for row in found["transitions"])
