"""Errors as often as ordered, and always the same ones."""

import pytest

from strop.records import Problem
from strop.tasks.arithmetic import Arithmetic
from strop.verifiers import judge
from strop.verifiers.exact import Exact
from strop.verifiers.math import Math
from strop.verifiers.noisy import Noisy

PROBLEMS = [Problem(id=f"a/train/{i}", task="a", prompt=(), reference="5") for i in range(2000)]


@pytest.mark.parametrize(
    ("missed", "invented", "recall", "accepted"), [(0.0, 0.0, 1.0, 0.0), (0.3, 0.0, 0.7, 0.0), (0.1, 0.05, 0.9, 0.05)]
)
def test_shares_are_as_ordered(missed, invented, recall, accepted):
    noisy = Noisy(missed=missed, invented=invented)
    # three standard errors of a share of 2000
    found = [sum(noisy(text, problem).score for problem in PROBLEMS) / 2000 for text in ("5", "6")]
    assert found == pytest.approx([recall, accepted], abs=0.031 if missed else 0)


def test_the_same_attempt_is_judged_the_same_again_and_others_apart():
    noisy = Noisy(missed=0.5)
    said = [f"<think>{i}</think>5" for i in range(200)]
    first = [noisy(text, PROBLEMS[0]).outcome for text in said]
    assert first == [noisy(text, PROBLEMS[0]).outcome for text in said]
    assert 60 < first.count("wrong") < 140
    assert first != [noisy(text, PROBLEMS[1]).outcome for text in said]
    assert first != [Noisy(missed=0.5, seed=1)(text, PROBLEMS[0]).outcome for text in said]


def test_what_is_neither_right_nor_wrong_stays():
    assert Noisy(missed=1.0, invented=1.0)("", PROBLEMS[0]) == Exact()("", PROBLEMS[0])


def test_it_runs_where_the_other_verifier_runs():
    assert not Noisy().isolate
    assert not Noisy(judge=Arithmetic()).isolate
    assert Noisy(judge=Math()).isolate
    [verdict] = judge(Noisy(judge="math", missed=1.0), [("\\boxed{5.0}", PROBLEMS[0])], seconds=60.0)
    assert (verdict.outcome, verdict.answer) == ("wrong", "5")
