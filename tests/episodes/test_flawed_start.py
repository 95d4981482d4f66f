"""Beginnings of worked responses that end in a mistake, and only there."""

import re

import pytest

from strop.batching import pack
from strop.episodes.flawed_start import FlawedStart
from strop.keys import Key
from strop.records import Group, Problem, Turn
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.countdown import Countdown
from strop.tasks.json_extraction import JsonExtraction
from strop.tasks.list_functions import ListFunctions

TASKS = [Arithmetic(), Countdown(), JsonExtraction(), ListFunctions()]
STEP = re.compile(r"(\d+)([-+*])(\d+)=(\d+)")


def starts(task, tokenizer, n=40, key=0, **fields):
    class Source:
        pass

    Source.tokenizer = tokenizer
    problems = [task.problem("train", i) for i in range(n)]
    return list(FlawedStart(**fields)(problems, sampler=Source(), task=task, samples=1, key=Key.root(key)))


def holds(step):
    left, sign, right, result = STEP.fullmatch(step).groups()
    return {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign](int(left), int(right)) == int(result)


def test_a_calculation_goes_wrong_in_the_first_step(tokenizer):
    for start in starts(Arithmetic(), tokenizer, rule_share=0.0):
        [step] = start.text.removeprefix("<think>").split()
        assert not holds(step)
        right = Arithmetic().write(start.problem, "short", Key.root(0)).removeprefix("<think>").split()[0]
        assert step.split("=")[0] == right.split("=")[0]


def test_a_rule_goes_wrong_and_is_worked_out_correctly(tokenizer):
    for start in starts(Arithmetic(), tokenizer, rule_share=1.0):
        [step] = start.text.removeprefix("<think>").split()
        assert holds(step)
        right = Arithmetic().write(start.problem, "short", Key.root(0)).removeprefix("<think>").split()[0]
        assert STEP.fullmatch(step)[2] != STEP.fullmatch(right)[2]


def test_both_kinds_come_about_as_often_as_asked(tokenizer):
    kinds = [holds(start.text.removeprefix("<think>")) for start in starts(Arithmetic(), tokenizer, n=400)]
    assert 160 < sum(kinds) < 240


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_that_slips_gives_unfinished_thoughts(task, tokenizer):
    """All but the last word is what the right response says; the last word is not."""
    found = starts(task, tokenizer, rule_share=0.0)
    assert all(start.text.startswith("<think>") and "</think>" not in start.text for start in found)
    for start in found:
        own = [Key.root(0).fold("flawed", start.problem.id, 0, "slip", i) for i in range(8)]
        rights = [task.write(start.problem, "short", key).split("</think>")[0].split(" ") for key in own]
        said = start.text.split(" ")
        assert any(
            said[:-1] == r[: len(said) - 1] and said[-1] != "".join(r[len(said) - 1 : len(said)]) for r in rights
        )


def test_a_solution_that_never_slips_gets_a_wrong_equation(tokenizer):
    class Fixed:
        name = "fixed"

        def problem(self, split, index):
            return Problem(id=f"fixed/{split}/{index}", task="fixed", prompt=(Turn("user", "?"),), reference="7")

        def write(self, problem, style, key, slips=0.0):
            return "tom has 2 + 3 = 5 cats, then 5+2=7. #### 7"

    texts = [start.text for start in starts(Fixed(), tokenizer, rule_share=0.0)]
    assert all(re.fullmatch(r"tom has 2\+3=(\d+)", text) for text in texts)
    assert not any(text.endswith("=5") for text in texts)


def test_an_operation_that_comes_out_the_same_is_no_mistake(tokenizer):
    """2*2 is 2+2; and where every operation gives the same, the result is wrong instead."""

    class Fixed:
        name = "fixed"

        def problem(self, split, index):
            return Problem(id=f"fixed/{split}/{index}", task="fixed", prompt=(Turn("user", "?"),), reference="4")

        def write(self, problem, style, key, slips=0.0):
            return "2+2=4" if int(problem.id.rpartition("/")[2]) % 2 else "0+0=0"

    texts = {start.text for start in starts(Fixed(), tokenizer, rule_share=1.0)}
    assert "2-2=0" in texts
    assert not texts & {"2*2=4", "2+2=4", "0*0=0", "0-0=0", "0+0=0"}


def test_it_carries_no_loss_and_is_the_same_for_the_same_key(tokenizer):
    first, again, other = (starts(Arithmetic(), tokenizer, key=key) for key in (0, 0, 1))
    assert [t.text for t in first] == [t.text for t in again] != [t.text for t in other]
    batch, [group] = pack([Group(first[0].problem, (first[0],))], None)
    assert len(batch) == 0
    assert group.trajectories[0].dropped == "no tokens to learn from"
