"""Rewards by hand, and against a loop."""

import numpy as np
import pytest
from pydantic import ValidationError

from strop.piece import dump
from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.correctness import Correctness
from strop.rewards.format import Format
from strop.rewards.soft_overlong import SoftOverlong

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def group(**columns):
    count = len(next(iter(columns.values())))
    rows = [{name: values[i] for name, values in columns.items()} for i in range(count)]
    return Group(
        PROBLEM, tuple(Trajectory(problem=PROBLEM, sample=i, **({"text": ""} | r)) for i, r in enumerate(rows))
    )


def test_correctness_pays_right_answers_only():
    outcomes = ("right", "wrong", "unparsable", "timeout", "error")
    judged = group(verdict=[*map(Verdict, outcomes), None])
    np.testing.assert_array_equal(Correctness()(judged), [1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(Correctness(weight=0.5, wrong=-1)(judged), [0.5, -0.5, -0.5, -0.5, -0.5, -0.5])
    readable = Correctness(weight=2.0, wrong=0.1, unparsable=-0.5)
    np.testing.assert_array_equal(readable(judged), [2.0, 0.2, -1.0, 0.2, 0.2, 0.2])


def test_format_wants_one_block_then_an_answer():
    well = ["<think>a</think>b", " <think></think>5 "]
    ill = [
        "b",
        "<think>a</think>",
        "<think>a",
        "a</think>b",
        "x<think>a</think>b",
        "<think>a</think>b<think>c</think>d",
        "",
    ]
    np.testing.assert_array_equal(Format(weight=2)(group(text=well + ill)), [2, 2, 0, 0, 0, 0, 0, 0, 0])


def test_soft_overlong_is_the_papers_piecewise_line():
    limit, buffer = 20, 8
    lengths = list(range(26))
    expected = []
    for length in lengths:
        if length <= limit - buffer:
            expected.append(0.0)
        elif length <= limit:
            expected.append((limit - buffer - length) / buffer)
        else:
            expected.append(-1.0)
    rows = group(tokens=[np.zeros(n, dtype=int) for n in lengths])
    np.testing.assert_allclose(SoftOverlong(max_length=limit, buffer=buffer)(rows), expected)
    np.testing.assert_allclose(SoftOverlong(max_length=limit, buffer=buffer, weight=3)(rows), 3 * np.array(expected))


def test_soft_overlong_counts_written_tokens_not_tool_results():
    mask = np.array([True] * 3 + [False] * 97)
    rows = group(tokens=[np.zeros(100, dtype=int)], mask=[mask])
    np.testing.assert_array_equal(SoftOverlong(max_length=10, buffer=5)(rows), [0.0])


def test_fields_are_checked_and_written_to_recipes():
    with pytest.raises(ValidationError, match="at most max_length"):
        SoftOverlong(max_length=4, buffer=5)
    with pytest.raises(ValidationError):
        Correctness(weight=float("nan"))
    expected = {"piece": "rewards/soft_overlong", "max_length": 8, "buffer": 4, "weight": 1.0}
    assert dump(SoftOverlong(max_length=8, buffer=4)) == expected


def test_well_formed_answers_alone_are_paid():
    texts = ["<think>a</think>5", "5", "<think>a</think>5", "<think>a<think>b</think>5"]
    judged = group(text=texts, verdict=[Verdict("right"), Verdict("right"), Verdict("wrong"), Verdict("right")])
    np.testing.assert_array_equal(Correctness(well_formed=True, wrong=-1)(judged), [1, -1, -1, -1])
    np.testing.assert_array_equal(Correctness(wrong=-1)(judged), [1, 1, -1, 1])


def test_a_bad_form_is_worth_the_same_right_or_wrong():
    texts = ["<think>a</think>5", "5", "<think>a</think>6", "6", "<think>a"]
    judged = group(text=texts, verdict=[*map(Verdict, ("right", "right", "wrong", "wrong", "unparsable"))])
    base = Correctness(weight=2.0, wrong=-0.25, malformed=-1.0)
    np.testing.assert_array_equal(base(judged), [2.0, -2.0, -0.5, -2.0, -2.0])
