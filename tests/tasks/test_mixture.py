"""A mixture hands everything to the task a problem came from."""

from collections import Counter

import pytest

from strop.errors import TaskError
from strop.keys import Key
from strop.recipe import task_named
from strop.tasks.mixture import Mixture

MIXTURE = Mixture(tasks=tuple(map(task_named, ("arithmetic", "countdown", "policy"))), weights=(2.0, 1.0, 1.0))


def test_problems_are_the_tasks_own_and_drawn_by_weight():
    problems = [MIXTURE.problem("train", i) for i in range(2000)]
    shares = Counter(p.task for p in problems)
    # 6 standard deviations of a binomial share of 1/2 and 1/4 of 2,000
    assert abs(shares["arithmetic"] - 1000) < 135
    assert abs(shares["policy"] - 500) < 117
    for problem in problems[:50]:
        split, index = problem.id.split("/")[1:]
        assert task_named(problem.task).problem(split, int(index)) == problem


def test_judging_writing_and_corrupting_go_to_the_right_task():
    for index in range(60):
        problem = MIXTURE.problem("heldout", index)
        assert MIXTURE.verify(MIXTURE.write(problem, "short", Key.root(index)), problem).outcome == "right"
        assert MIXTURE.verify(MIXTURE.corrupt(problem, Key.root(index)), problem).outcome == "wrong"


def test_errors():
    with pytest.raises(ValueError, match="expected 1 weights"):
        Mixture(tasks=(task_named("policy"),), weights=(1.0, 2.0))
    with pytest.raises(TaskError, match="k_sat/train/0"):
        MIXTURE.verify("x", task_named("k_sat").problem("train", 0))
