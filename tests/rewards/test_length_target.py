import random

import numpy as np
import pytest

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards._loops import loops
from strop.rewards.length_target import LengthTarget

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(rows):
    """(outcome, length, well formed)"""
    return Group(
        PROBLEM,
        tuple(
            Trajectory(
                problem=PROBLEM, sample=i, text="<think>t</think>5" if formed else "<think>5",
                tokens=np.arange(length), verdict=Verdict(outcome),
            )
            for i, (outcome, length, formed) in enumerate(rows)
        ),
    )  # fmt: skip


def slow(rows, targets, within, beyond, explore):
    share = sum(outcome == "right" and formed for outcome, _, formed in rows) / len(rows)
    target = targets[0] if share >= 2 / 3 else targets[1] if share >= 1 / 3 else targets[2]
    found = []
    for outcome, length, formed in rows:
        fits = target is None or length <= target
        if outcome == "right" and formed:
            found.append(within if fits else beyond)
        elif formed and outcome != "unparsable" and explore and not fits:
            found.append(1)
        else:
            found.append(0)
    return found


@pytest.mark.parametrize("explore", [False, True])
@pytest.mark.parametrize("rights", range(7))
def test_against_a_loop(rights, explore):
    targets, draw = (10, 20, None), random.Random(rights)
    outcomes = ["right"] * rights + ["wrong", "unparsable", "timeout", "wrong", "error", "wrong"][rights:]
    rows = [(outcome, draw.choice((5, 10, 11, 20, 21, 40)), draw.random() < 0.8) for outcome in outcomes]
    actual = LengthTarget(targets=targets, weight=0.3, within=1, beyond=-0.5, explore=explore)(group(rows))
    np.testing.assert_allclose(actual, 0.3 * np.array(slow(rows, targets, 1, -0.5, explore)))


def test_a_hard_problem_may_take_longer():
    rows = [("right", 30, True)] + [("wrong", 30, True)] * 3
    easy, hard = group([("right", 30, True)] * 4), group(rows)
    target = LengthTarget(targets=(20, 25, 30), weight=1.0)
    np.testing.assert_array_equal(target(easy), [0] * 4)
    np.testing.assert_array_equal(target(hard), [1, 0, 0, 0])


def test_a_long_wrong_answer_never_gains_what_a_right_one_would_beside_it():
    """With the base score of the recipe: 0 for exploring, 1 or 1.5 for being right."""
    rows = group([("wrong", 50, True), ("right", 50, True), ("right", 5, True), ("wrong", 5, True)])
    base = np.array([-0.5, 1, 1, -0.5])
    np.testing.assert_array_equal(base + LengthTarget(targets=(9, 9, 9), explore=True)(rows), [0, 1, 1.5, -0.5])


def test_going_in_circles_is_no_exploration():
    wrong, right = (
        {"problem": PROBLEM, "text": "<think>t</think>6"} | {"verdict": Verdict(o)} for o in ("wrong", "right")
    )
    rows = (
        Trajectory(sample=0, tokens=np.arange(50), **wrong),
        Trajectory(sample=1, tokens=np.arange(50) % 7, **wrong),
        Trajectory(sample=2, tokens=np.arange(50) % 7, **right),
        # the loop is what a tool said
        Trajectory(sample=3, tokens=np.where(np.arange(50) < 20, np.arange(50), 0), mask=np.arange(50) < 20, **wrong),
    )
    target = LengthTarget(targets=(9, 9, 9), weight=1.0, explore=True)
    np.testing.assert_array_equal(target(Group(PROBLEM, rows)), [1, 0, 0, 1])


def slow_loops(items, gram, brief):
    """Every pair of equal runs, one by one."""
    size = len(items)
    if size <= 2 * gram:
        return False
    n = 2 if size < brief[0] else 3 if size < brief[1] else gram
    often = 2 if size < brief[2] else 3
    for i in range(size - n + 1):
        run = items[i : i + n]
        places = [j for j in range(size - n + 1) if items[j : j + n] == run]
        close = any(0 < b - a < size // 3 for a in places for b in places)
        if len(places) >= often and close and (n == 2 or len(set(run)) > 1):
            return True
    runs = [items[i : i + 2 * n] for i in range(size - 2 * n + 1)]
    return size >= 4 * n and any(runs.count(run) > 1 for run in runs)


@pytest.mark.parametrize("letters", [1, 2, 4, 30, 200])
def test_loops_against_a_loop(letters):
    draw, seen = random.Random(letters), set()
    for size in (0, 8, 9, 12, 20, 29, 30, 60, 99, 100, 150, 199, 200, 240):
        for gram, brief in ((4, (30, 100, 200)), (5, (0, 0, 0))):
            items = [draw.randrange(letters) for _ in range(size)]
            expected = slow_loops(items, gram, brief)
            assert loops(items, gram, brief) == expected
            seen.add(expected)
    assert letters not in (4, 30) or seen == {True, False}


def test_a_few_equal_tokens_in_a_row_are_no_loop_many_are():
    assert not loops([*range(30), 99, 99, 99, 99, *range(50, 60)])
    assert loops([*range(30), *[99] * 7, *range(50, 60)])
