"""Who decides what, and what a verdict says about it."""

import pickle
from typing import ClassVar

import pytest

from strop.errors import ConfigError
from strop.piece import build, dump, piece
from strop.recipe import from_data, override
from strop.recipes.grpo import grpo
from strop.records import Problem, Verdict
from strop.tasks.arithmetic import Arithmetic
from strop.verifiers.cascade import Cascade
from strop.verifiers.exact import Exact
from strop.verifiers.math import Math
from strop.verifiers.model_judge import ModelJudge

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")
ASKED = []


@piece
class Says:
    """A judge that answers as it is told and writes down what it is asked."""

    outcome: str = "right"
    detail: str = "model 0.90"
    batch: int = 3
    isolate: ClassVar[bool] = False

    def many(self, pairs):
        ASKED.append([response for response, _ in pairs])
        return [Verdict(self.outcome, answer=f"({response})", detail=self.detail) for response, _ in pairs]


@piece
class Rule:
    """Says what it is shown."""

    isolate: ClassVar[bool] = False

    def __call__(self, response, problem):
        if response == "raise":
            raise RuntimeError("from inside")
        return Verdict(response, answer=response if response == "wrong" else None, detail="why" if response else "")


@pytest.fixture(autouse=True)
def nothing_asked():
    ASKED.clear()


RULED = ["right", "wrong", "unparsable", "timeout", "error", "raise"]


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (
            Says(),
            [
                ("right", None, "rule: why"),
                ("right", "wrong", "model 0.90, rule wrong: why"),
                ("right", "(unparsable)", "model 0.90, rule unparsable: why"),
                ("timeout", None, "rule: why"),
                ("error", None, "rule: why"),
                ("error", None, "rule: RuntimeError: from inside"),
            ],
        ),
        (
            Says("wrong", "model 0.10"),
            [
                ("right", None, "rule: why"),
                ("wrong", "wrong", "model 0.10, rule wrong: why"),
                ("unparsable", None, "model 0.10, rule unparsable: why"),
                ("timeout", None, "rule: why"),
                ("error", None, "rule: why"),
                ("error", None, "rule: RuntimeError: from inside"),
            ],
        ),
        (
            Says("unparsable", "too long"),
            [
                ("right", None, "rule: why"),
                ("wrong", "wrong", "rule: why"),
                ("unparsable", None, "rule: why"),
                ("timeout", None, "rule: why"),
                ("error", None, "rule: why"),
                ("error", None, "rule: RuntimeError: from inside"),
            ],
        ),
    ],
    ids=["accepts", "rejects", "cannot tell"],
)
def test_the_table_of_verdicts(judge, expected):
    cascade = Cascade(rule=Rule(), judge=judge)
    together = cascade.many([(response, PROBLEM) for response in RULED])
    assert [(v.outcome, v.answer, v.detail) for v in together] == expected
    assert ASKED == [["wrong", "unparsable"]], "only what the rule calls wrong or cannot read is shown"
    alone = [cascade(response, PROBLEM) for response in RULED]
    assert alone == together


def test_the_model_takes_nothing_away_from_the_rule():
    for outcome in ("right", "wrong", "unparsable"):
        cascade = Cascade(rule=Exact(), judge=Says(outcome))
        said = [str(i % 7) for i in range(20)]
        ruled = [Exact()(text, PROBLEM).outcome for text in said]
        actual = [verdict.outcome for verdict in cascade.many([(text, PROBLEM) for text in said])]
        assert all(mine == "right" for mine, other in zip(actual, ruled, strict=True) if other == "right")
        assert ("wrong" in actual) == (outcome != "right")


def test_a_task_may_be_the_rule():
    problem = Arithmetic().problem("train", 0)
    cascade = Cascade(rule=Arithmetic(), judge=Says("wrong"))
    assert cascade(problem.reference, problem).detail == "rule"
    assert cascade("1.5", problem).outcome == "unparsable"
    assert len(ASKED) == 2
    assert ASKED[-1] == ["1.5"]


def test_parts_by_name_on_a_command_line():
    made = build(Cascade, {"rule": "exact", "judge": "runs/mine"}, "cascade")
    assert made == Cascade(rule=Exact(), judge=ModelJudge(model="runs/mine"))
    made = build(Cascade, {"judge": {"threshold": 0.9, "batch": 8}}, "cascade")
    assert made == Cascade(rule=Math(), judge=ModelJudge(threshold=0.9, batch=8))
    assert made.batch == 8
    with pytest.raises(ConfigError, match="exactly"):
        build(Cascade, {"rule": "exactly"}, "cascade")
    with pytest.raises(ConfigError, match=r"no field 'treshold'.*Did you mean 'threshold'"):
        build(Cascade, {"judge": {"treshold": 0.9}}, "cascade")


def test_a_stage_may_have_one():
    recipe = override(grpo(), ["stages.0.verifier=cascade", "stages.0.verifier.judge.model=runs/mine"])
    recipe = override(recipe, ["stages.0.verifier.rule=exact"])
    expected = Cascade(rule=Exact(), judge=ModelJudge(model="runs/mine"))
    assert recipe.stages[0].verifier == expected
    assert from_data(dump(recipe)) == recipe
    assert {expected: 1}[pickle.loads(pickle.dumps(expected))] == 1  # pools are kept by verifier
