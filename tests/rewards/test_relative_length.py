import random

import numpy as np

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.relative_length import RelativeLength

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(rows):
    return Group(
        PROBLEM,
        tuple(
            Trajectory(problem=PROBLEM, sample=i, text="", tokens=np.arange(n), verdict=Verdict(outcome))
            for i, (outcome, n) in enumerate(rows)
        ),
    )


def slow(rows):
    shortest, longest = min(n for _, n in rows), max(n for _, n in rows)
    found = []
    for outcome, length in rows:
        place = 0.0 if longest == shortest else 0.5 - (length - shortest) / (longest - shortest)
        found.append(place if outcome == "right" else min(0.0, place))
    return found


def test_against_a_loop():
    draw = random.Random(0)
    for size in (1, 2, 5, 9):
        for _ in range(20):
            rows = [(draw.choice(("right", "wrong", "unparsable")), draw.randrange(1, 12)) for _ in range(size)]
            np.testing.assert_allclose(RelativeLength(weight=0.7)(group(rows)), 0.7 * np.array(slow(rows)))


def test_only_the_order_and_spacing_of_lengths_count():
    rows = [("right", 3), ("right", 5), ("wrong", 9), ("wrong", 4)]
    stretched = [(outcome, 100 + 10 * n) for outcome, n in rows]
    np.testing.assert_allclose(RelativeLength()(group(rows)), RelativeLength()(group(stretched)))


def test_a_short_wrong_answer_gains_nothing_a_long_one_pays():
    values = RelativeLength()(group([("wrong", 5), ("wrong", 50), ("right", 50)]))
    np.testing.assert_array_equal(values, [0.0, -0.5, -0.5])
