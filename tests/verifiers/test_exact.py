"""String match after normalisation."""

import pytest

from strop.records import Problem
from strop.verifiers.exact import Exact


@pytest.mark.parametrize(
    ("said", "reference", "expected"),
    [
        ("<think>so</think> Mount  Everest.", "mount everest", "right"),
        ("“x”", "x", "wrong"),
        ('"x"', "x", "right"),
        ("$5$", 5, "right"),
        ("ｘ", "x", "right"),
        ("1.5", "15", "wrong"),
        ("(a)", "a", "wrong"),
        ("<think>5</think>", "5", "unparsable"),
        ("", "5", "unparsable"),
    ],
)
def test_by_hand(said, reference, expected):
    problem = Problem(id="a/train/0", task="a", prompt=(), reference=reference)
    assert Exact()(said, problem).outcome == expected


def test_case():
    problem = Problem(id="a/train/0", task="a", prompt=(), reference="Ab")
    assert [Exact(case=case)("ab", problem).outcome for case in (False, True)] == ["right", "wrong"]
