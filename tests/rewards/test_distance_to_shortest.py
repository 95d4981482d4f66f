import random

import numpy as np
import pytest

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.distance_to_shortest import DistanceToShortest

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(rows):
    return Group(
        PROBLEM,
        tuple(
            Trajectory(problem=PROBLEM, sample=i, text="", tokens=np.arange(n), verdict=Verdict(outcome))
            for i, (outcome, n) in enumerate(rows)
        ),
    )


def slow(rows, price, among):
    best = None
    for outcome, length in rows:
        if (outcome == "right" or among == "all") and (best is None or length < best):
            best = length
    if best is None:
        best = sum(length for _, length in rows) / len(rows)
    return [-price * (length - best if length > best else best - length) for _, length in rows]


@pytest.mark.parametrize("among", ["right", "all"])
@pytest.mark.parametrize("outcomes", [("right",), ("wrong", "timeout", "unparsable"), ("right", "wrong", "error")])
def test_against_a_loop(outcomes, among):
    draw = random.Random(3)
    for size in (1, 2, 8):
        rows = [(draw.choice(outcomes), draw.randrange(90)) for _ in range(size)]
        np.testing.assert_allclose(DistanceToShortest(weight=0.02, among=among)(group(rows)), slow(rows, 0.02, among))


def test_giving_up_early_does_not_pay():
    """A wrong answer shorter than the shortest right one is charged, the right one is not."""
    values = DistanceToShortest()(group([("right", 30), ("wrong", 5)]))
    assert values[0] == 0 > values[1]


def test_where_nobody_is_right_the_typical_length_is_best():
    values = DistanceToShortest()(group([("wrong", n) for n in (10, 30, 50)]))
    assert values.argmax() == 1
    assert values[0] == values[2]
