"""Decoders that choose among stored attempts."""

import random

import pytest

from strop.decoders.best_of_n import BestOfN
from strop.decoders.majority import Majority
from strop.records import Problem, Trajectory, Verdict

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def answers(*said):
    """Attempts that gave these answers; None is one that could not be read."""
    return [
        Trajectory(problem=PROBLEM, sample=i, text="", verdict=Verdict("wrong", a) if a else Verdict("unparsable"))
        for i, a in enumerate(said)
    ]


def scores(*values):
    return [Trajectory(problem=PROBLEM, sample=i, text="", reward=v) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["5"], 0),
        (["6", "5", "5"], 1),
        (["6", "5", "5", "6"], 0),
        (["7", "5", "6", "6", "5"], 1),
        ([None, None, None, "5"], 3),
        ([None, None], None),
        ([], None),
    ],
)
def test_majority_by_hand(said, expected):
    assert Majority()(answers(*said)) == expected


def test_an_unreadable_attempt_does_not_vote_even_with_an_answer():
    rows = [Verdict("unparsable", "6"), Verdict("unparsable", "6"), Verdict("right", "5"), None]
    attempts = [Trajectory(problem=PROBLEM, sample=i, text="", verdict=v) for i, v in enumerate(rows)]
    assert Majority()(attempts) == 2


def test_majority_against_a_slow_count():
    for seed in range(300):
        draw = random.Random(seed)
        said = [draw.choice(["5", "6", "7", None]) for _ in range(draw.randint(0, 9))]
        expected, most = None, 0
        for i, answer in enumerate(said):
            if answer is not None and answer not in said[:i] and said.count(answer) > most:
                expected, most = i, said.count(answer)
        assert Majority()(answers(*said)) == expected, said


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.9, 0.9], 1),
        ([-2.0, -1.0], 1),
        ([float("nan"), -5.0], 1),
        ([float("nan")], None),
        ([], None),
        ([0.0], 0),
    ],
)
def test_best_of_n_by_hand(values, expected):
    assert BestOfN()(scores(*values)) == expected
