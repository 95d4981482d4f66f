import math
import random
import statistics

import numpy as np
import pytest
from pydantic import ValidationError

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.reflection_length import ReflectionLength

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(rows):
    """(outcome, words of reflection, length, well formed)"""
    return Group(
        PROBLEM,
        tuple(
            Trajectory(
                problem=PROBLEM, sample=i, verdict=Verdict(outcome), tokens=np.arange(length),
                text=f"<think>{'2+3=5 Wait, ' * count}{'</think>' if formed else ''}5",
            )
            for i, (outcome, count, length, formed) in enumerate(rows)
        ),
    )  # fmt: skip


def slow(rows, thresholds, shares):
    rights = [row for row in rows if row[0] == "right"]

    def standing(value, known):
        mean = statistics.mean(known)
        deviation = statistics.stdev(known) if len(known) > 1 else 1.0
        return 1 / (1 + math.exp(-(value - mean) / (deviation + 1e-6)))

    found = []
    for outcome, count, length, formed in rows:
        if outcome != "right" or not formed:
            found.append(0.0)
            continue
        share = shares[sum(count > threshold for threshold in thresholds)]
        reflection = standing(count, [row[1] for row in rights])
        found.append(-share * reflection - (1 - share) * standing(length, [row[2] for row in rights]))
    return found


@pytest.mark.parametrize("outcomes", [("right",), ("wrong", "unparsable"), ("right", "wrong")])
def test_against_a_loop(outcomes):
    draw = random.Random(1)
    for size in (1, 2, 8):
        for _ in range(10):
            rows = [
                (draw.choice(outcomes), draw.randrange(8), draw.randrange(1, 90), draw.random() < 0.8)
                for _ in range(size)
            ]
            reward = ReflectionLength(thresholds=(1, 4), shares=(0.1, 0.5, 0.8), weight=0.3)
            expected = 0.3 * np.array(slow(rows, (1, 4), (0.1, 0.5, 0.8)))
            np.testing.assert_allclose(reward(group(rows)), expected, atol=1e-12)


def test_with_one_for_being_right_any_right_answer_is_worth_more_than_any_wrong_one():
    rows = [("right", n, 5 * n + 1, True) for n in range(9)] + [("wrong", 0, 1, True)]
    values = ReflectionLength()(group(rows)) + np.array([1.0] * 9 + [0.0])
    assert values[:9].min() > 0.8
    assert values[9] == 0


def test_fewer_second_thoughts_cost_less_at_equal_length():
    values = ReflectionLength()(group([("right", n, 40, True) for n in (0, 2, 5)]))
    assert values[0] > values[1] > values[2]


def test_words_are_whole_and_in_any_case():
    texts = ("Wait", "waiter", "double-check", "Hold On", "hold it", "but, BUT")
    rows = tuple(
        Trajectory(problem=PROBLEM, sample=i, text=f"<think>{text}</think>5", tokens=np.arange(9), verdict=v)
        for i, (text, v) in enumerate(zip(texts, [Verdict("right")] * 6, strict=True))
    )
    values = ReflectionLength(shares=(1, 1, 1))(Group(PROBLEM, rows))
    expected = [1, 0, 1, 1, 0, 2]
    assert [sorted(set(values), reverse=True).index(value) for value in values] == expected


def test_thresholds_must_not_fall():
    with pytest.raises(ValidationError, match="must not fall"):
        ReflectionLength(thresholds=(5, 4))
