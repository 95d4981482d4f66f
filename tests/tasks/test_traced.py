"""Worked responses that others wrote."""

import json

import pytest
from pydantic import ValidationError

from strop.curators.mix_sources import MixSources
from strop.errors import TaskError
from strop.keys import Key
from strop.piece import dump
from strop.recipe import _load
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.traced import Traced

TASK = Arithmetic()


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(count, text="<think>mine</think>", **more):
    """A right trace for each of the first problems of the task."""
    problems = [TASK.problem("train", i) for i in range(count)]
    return [{"problem_id": p.id, "sample": 0, "response": f"{text}{p.reference}", **more} for p in problems]


def test_styles_are_written_on_the_same_prompts():
    sources = {"long": "long", "short": "short"}
    arms = [Traced(task=TASK, sources=sources, curator=MixSources(share=s), prompts=20) for s in (0.0, 0.5, 1.0)]
    assert [{t.problem.id for t in arm.traces} for arm in arms] == [{f"arithmetic/train/{i}" for i in range(20)}] * 3
    assert [sum(t.checkpoint == "long" for t in arm.traces) for arm in arms] == [0, 10, 20]
    problem = arms[2].problem("train", 3)
    text = arms[2].write(problem, "direct", Key.root(1))
    assert text == next(t.text for t in arms[2].traces if t.problem.id == problem.id)
    assert arms[2].verify(text, problem).outcome == "right"


def test_a_file_decides_which_prompts_there_are(tmp_path):
    path = write(tmp_path / "mine.jsonl", rows(6)[2:])
    task = Traced(task=TASK, sources={"mine": path, "short": "short"}, curator=MixSources("mine", "short", share=1.0))
    assert task.size("train") == 4
    assert task.problem("train", 0) == TASK.problem("train", 2), "the task's own problem, made again"
    assert task.write(task.problem("train", 0), "long", Key.root(0)).startswith("<think>mine</think>")
    assert task.problem("heldout", 5) == TASK.problem("heldout", 5)
    assert task.size("heldout") is None


def test_wrong_traces_are_found_by_judging_and_a_verdict_in_the_file_holds(tmp_path):
    given = rows(4)
    given[1]["response"] = "<think></think>nothing"
    given[2]["correct"] = False
    task = Traced(task=TASK, sources={"mine": write(tmp_path / "mine.jsonl", given)})
    assert [t.problem.id for t in task.traces] == ["arithmetic/train/0", "arithmetic/train/3"]


def test_questions_of_others_need_their_reference(tmp_path):
    own = {"problem_id": "q7", "question": "What is 2+3?", "reference": "5", "response": "5", "correct": True}
    task = Traced(task=TASK, sources={"mine": write(tmp_path / "a.jsonl", [own])})
    assert (task.problem("train", 0).question, task.problem("train", 0).reference) == ("What is 2+3?", "5")
    del own["reference"]
    with pytest.raises(TaskError, match=r"a\.jsonl, line 1: 'q7' is no training problem of arithmetic.*`reference`"):
        Traced(task=TASK, sources={"mine": write(tmp_path / "a.jsonl", [own])}).size("train")


def test_no_trace_left_is_an_error(tmp_path):
    path = write(tmp_path / "mine.jsonl", rows(3, correct=False))
    with pytest.raises(TaskError, match=r"no prompt has a trace left. Sources: mine \("):
        Traced(task=TASK, sources={"mine": path}).size("train")
    with pytest.raises(ValidationError, match=r"must be a \.jsonl or \.parquet file or one of direct"):
        Traced(task=TASK, sources={"mine": "lnog"})


def test_it_is_written_into_a_recipe_and_read_back():
    task = Traced(task=TASK, sources={"a": "short"}, curator=MixSources(first="a", second="a"), prompts=3)
    assert _load(json.loads(json.dumps(dump(task))), "task") == task
    assert hash(task) == hash(Traced(task=TASK, sources=[("a", "short")], curator=task.curator, prompts=3))
