"""References in other forms: the truth stays, a string match misses what it is said to miss."""

import pytest

from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import build
from strop.tasks._forms import NAMES
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.countdown import Countdown
from strop.tasks.list_functions import ListFunctions
from strop.tasks.mixture import Mixture
from strop.tasks.other_forms import FORMS, OtherForms
from strop.verifiers.exact import Exact


@pytest.mark.parametrize("inner", [Arithmetic(), ListFunctions()], ids=lambda task: task.name)
def test_a_string_match_misses_the_share_and_nothing_else(inner):
    task = OtherForms(task=inner, share=0.6)
    problems = [task.problem("train", index) for index in range(500)]
    for index, problem in enumerate(problems):
        usual = inner.problem("train", index).reference
        assert task.verify(usual, problem).outcome == "right"
        assert (Exact()(usual, problem).outcome == "right") == (problem.reference == usual)
        assert Exact()(usual + "1", problem).outcome == "wrong"
    rewritten = sum(problem.data["form"] != "" for problem in problems)
    assert 0.54 < rewritten / len(problems) < 0.66  # 0.6 with three standard errors of 0.022


def test_everything_but_the_reference_is_the_other_tasks():
    inner = Arithmetic()
    task = OtherForms(task=inner, share=1.0)
    for index in range(30):
        mine, other, key = task.problem("heldout", index), inner.problem("heldout", index), Key.root(index)
        assert mine.prompt == other.prompt
        assert mine.difficulty == other.difficulty
        assert mine == task.problem("heldout", index)
        for style in ("direct", "short", "long"):
            assert task.write(mine, style, key, 0.2) == inner.write(other, style, key, 0.2)
        assert task.corrupt(mine, key) == inner.corrupt(other, key)
        assert task.verify(task.corrupt(mine, key), mine).outcome == "wrong"


def test_each_form_named_is_used():
    found = {OtherForms(share=1.0).problem("train", i).data["form"] for i in range(400)}
    assert found == set(FORMS) - {"listed", "order"}  # those are not for whole numbers
    assert OtherForms(share=1.0, forms=("roman",)).problem("train", 3).data["form"] == "roman"


def test_references_that_cannot_be_read_stay():
    task = OtherForms(task=Mixture(tasks=(Countdown(),)), share=1.0)
    problem = task.problem("train", 0)
    assert problem.reference == problem.data["usual"]
    assert task.verify(problem.reference["solution"], problem).outcome == "right"


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ConfigError, match=r"there is no form 'numberwords'; known: markup"):
        build(OtherForms, {"forms": ("numberwords",)}, "task")
    judged = type("Judged", (Arithmetic,), {"verifier": "math"})()
    with pytest.raises(ConfigError, match="judged by math"):
        build(OtherForms, {"task": judged}, "task")


def test_every_form_is_one_of_the_taxonomy():
    assert set(FORMS) <= set(NAMES)
