import math

import numpy as np
import pytest

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.cosine_length import CosineLength

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(rows):
    return Group(
        PROBLEM,
        tuple(
            Trajectory(
                problem=PROBLEM, sample=i, text="", tokens=np.zeros(length, dtype=int), verdict=Verdict(outcome)
            )
            for i, (outcome, length) in enumerate(rows)
        ),
    )  # fmt: skip


def slow(rows, limit, right, wrong, exceeded):
    found = []
    for outcome, length in rows:
        a, b = right if outcome == "right" else wrong
        value = b + 0.5 * (a - b) * (1 + math.cos(math.pi * min(length, limit) / limit))
        found.append(exceeded if exceeded is not None and length >= limit else value)
    return found


ROWS = [(outcome, length) for outcome in ("right", "wrong", "timeout") for length in (0, 7, 39, 40, 41, 90)]


@pytest.mark.parametrize(
    ("right", "wrong", "exceeded"), [((2.0, 1.0), (-10.0, 0.0), -10.0), ((1.0, 0.5), (0.0, -0.5), None)]
)
def test_against_a_loop(right, wrong, exceeded):
    piece = CosineLength(max_length=40, right=right, wrong=wrong, exceeded=exceeded)
    np.testing.assert_allclose(piece(group(ROWS)), slow(ROWS, 40, right, wrong, exceeded), atol=1e-12)


def test_right_answers_lose_and_wrong_ones_gain_by_length():
    lengths = range(0, 40, 3)
    right, wrong = (CosineLength(max_length=40)(group([(o, n) for n in lengths])) for o in ("right", "wrong"))
    assert (np.diff(right) < 0).all()
    assert (np.diff(wrong) > 0).all()
    assert right.min() > wrong.max()


def test_beyond_the_limit_the_cosine_does_not_turn_round():
    values = CosineLength(max_length=40, exceeded=None)(group([("right", n) for n in (40, 60, 80, 120)]))
    np.testing.assert_allclose(values, [1.0] * 4)


def test_exceeding_may_begin_before_the_limit():
    rows = group([("right", n) for n in (35, 36, 40)])
    near, past, limit = CosineLength(max_length=40, margin=4)(rows)
    assert near == CosineLength(max_length=40)(rows)[0] > 1
    assert past == limit == -10
