"""pass@k against enumeration."""

import itertools
import random

import pytest
from pydantic import ValidationError

from strop.errors import ConfigError
from strop.probes.pass_k import PassK
from strop.records import Group, Problem, Trajectory, Verdict


def group(name, *outcomes):
    problem = Problem(id=name, task="a", prompt=(), reference="5")
    rows = (Trajectory(problem=problem, sample=i, text="", verdict=Verdict(o)) for i, o in enumerate(outcomes))
    return Group(problem, tuple(rows))


def marks(name, pattern):
    return group(name, *("right" if mark == "+" else "wrong" for mark in pattern))


def test_against_every_subset_of_attempts():
    patterns = ["----", "+---", "-+-+", "+++-", "++++", "-----+", "++-+-+"]
    groups = [marks(f"p{i}", pattern) for i, pattern in enumerate(patterns)]
    actual = PassK(k=(1, 2, 3, 4))(groups)
    assert actual["problems"] == 7
    assert actual["samples"] == [4, 6]
    for k in (1, 2, 3, 4):
        shares = []
        for pattern in patterns:
            subsets = list(itertools.combinations(pattern, k))
            shares.append(sum("+" in subset for subset in subsets) / len(subsets))
        assert actual[f"pass@{k}"] == pytest.approx(sum(shares) / len(shares))


def test_intervals_are_over_problems_and_hold_the_value():
    draw = random.Random(0)
    groups = [marks(f"p{i}", "".join(draw.choice("+---------") for _ in range(8))) for i in range(40)]
    actual = PassK()(groups)
    for name in ("pass@1", "pass@2", "pass@4", "pass@8"):
        low, high = actual["ci"][name]
        assert low < actual[name] < high
    # all attempts at one problem alike: the spread is that of 40 problems, about 1.96 * sqrt(0.25 / 40) to each side
    alike = [marks(f"p{i}", ("+" if i % 2 else "-") * 8) for i in range(40)]
    low, high = PassK(k=(1,))(alike)["ci"]["pass@1"]
    assert high - low == pytest.approx(2 * 1.96 * (0.25 / 40) ** 0.5, rel=0.15)


def test_the_order_of_problems_changes_nothing():
    draw = random.Random(1)
    groups = [marks(f"p{i}", "".join(draw.choice("+-") for _ in range(7))) for i in range(30)]
    assert PassK(k=(1, 2))(groups) == PassK(k=(1, 2))(groups[::-1])


def test_many_attempts_do_not_overflow():
    assert PassK(k=(1024,))([marks("p", "+" + "-" * 2047)])["pass@1024"] == pytest.approx(0.5)


def test_lost_verdicts_are_counted():
    actual = PassK(k=(1,))([group("p", "right", "timeout", "error", "unparsable")])
    assert (actual["pass@1"], actual["unjudged"]) == (0.25, 2)


def test_too_few_samples_name_the_problem_and_its_number():
    groups = [marks("long", "+-+-+-+-"), marks("short", "+-+")]
    with pytest.raises(ConfigError, match=r"pass@8 needs 8 samples.*'short' has 3.*at most 3"):
        PassK()(groups)


def test_bad_input():
    with pytest.raises(ConfigError, match="at least one problem"):
        PassK()([])
    problem = Problem(id="p", task="a", prompt=(), reference="5")
    with pytest.raises(ConfigError, match=r"'p'.*without a verdict"):
        PassK(k=(1,))([Group(problem, (Trajectory(problem=problem, sample=0, text=""),))])
    for k in ((), (0,), (-1,)):
        with pytest.raises(ValidationError):
            PassK(k=k)
