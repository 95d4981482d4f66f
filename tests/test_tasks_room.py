"""The room's contract over every procedural task: it checks itself, is a pure function, and never raises."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop import catalogue
from strop.keys import Key
from strop.tasks import STYLES

TASKS = [e.name for e in catalogue.room("tasks") if "levels" in e.fields]


@pytest.fixture(params=TASKS)
def task(request):
    return catalogue.load(f"tasks/{request.param}")()


def test_writes_what_it_judges_right(task):
    for index in range(60):
        problem = task.problem("train", index)
        for style in STYLES:
            text = task.write(problem, style, Key.root(index))
            verdict = task.verify(text, problem)
            assert verdict.outcome == "right", (problem.question, text, verdict)


def test_corrupted_answers_are_wrong(task):
    for index in range(200):
        problem = task.problem("train", index)
        text = task.corrupt(problem, Key.root(index))
        assert task.verify(text, problem).outcome == "wrong", (problem.question, problem.reference, text)


def test_problem_is_a_pure_function(task):
    again = type(task)()
    first = [task.problem("train", index) for index in range(5)]
    assert [again.problem("train", index) for index in reversed(range(5))] == first[::-1]
    assert all(json.loads(json.dumps(p.reference)) is not None and json.dumps(p.data) is not None for p in first)
    assert [p.id for p in first] == [f"{task.name}/train/{index}" for index in range(5)]


def test_splits_are_separate_streams(task):
    train = {task.problem("train", index).question for index in range(50)}
    heldout = [task.problem("heldout", index).question for index in range(50)]
    assert sum(question in train for question in heldout) < 25


def test_slips_make_some_answers_wrong(task):
    outcomes = [
        task.verify(task.write(problem, "short", Key.root(problem.id), slips=0.5), problem).outcome
        for problem in (task.problem("train", index) for index in range(60))
    ]
    assert "right" in outcomes or "wrong" in outcomes
    assert "wrong" in outcomes


def test_levels_are_graded(task):
    hardest = type(task)(levels=(max(task.levels),))
    assert all(hardest.problem("train", index).difficulty == max(task.levels) for index in range(10))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    text=st.text()
    | st.sampled_from(["", "<think>", "</think>", "<think></think>", "9" * 9999, "-", "--1", "١", "{" * 999])
)
def test_verify_never_raises(text):
    for name in TASKS:
        task = catalogue.load(f"tasks/{name}")()
        assert task.verify(text, task.problem("train", 0)).outcome in ("right", "wrong", "unparsable")
