"""Rules first, a small model on what the rules reject."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from strop.piece import build, piece
from strop.records import Problem, Verdict
from strop.verifiers import named, rule_of
from strop.verifiers._worker import judge_here
from strop.verifiers.math import Math
from strop.verifiers.model_judge import ModelJudge


def _model_judge(value: Any) -> Any:
    """A judge from what a command line can say: a model, or fields of `ModelJudge`."""
    if isinstance(value, str):
        return ModelJudge(model=value)
    return build(ModelJudge, value, "judge") if isinstance(value, Mapping) else value


@piece
class Cascade:
    """A rule decides what it accepts; of what it calls wrong or cannot read, a small model may call an answer right.

        verdict(a) = right                where rule(a) is right
                     right                where rule(a) is wrong or unparsable, and model(a) is right
                     rule(a)              otherwise

    So the model repairs false negatives of the rule and can add false positives, but takes nothing away: in training,
    watch how often it decides. Answers that time out or fail in the rule are not shown to the model. A verdict's detail
    begins with who decided: `rule`, or `model` and its probability; the answer is as the rule reads it, else as the
    model was shown it.

    Source: TinyV (arXiv:2505.14625), its `addon` setup.
    Departures: what the model accepts is worth as much as what the rule accepts, since a verdict has no weight.

    >>> from strop.verifiers.exact import Exact
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> Cascade(rule=Exact())("5", problem), Cascade(rule=Exact())("<think>", problem).detail
    (Verdict(outcome='right', answer='5', detail='rule'), 'rule: no answer after the thought')
    """

    rule: Annotated[Any, BeforeValidator(named)] = field(default_factory=Math)
    """A verifier or the name of one, or a task that judges itself."""
    judge: Annotated[Any, BeforeValidator(_model_judge)] = field(default_factory=ModelJudge)
    """A `ModelJudge`, its fields by name, or its model alone."""
    seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Wall-clock limit, seconds, of a batch of answers, and of each alone where the batch missed it."""

    isolate: ClassVar[bool] = True

    @property
    def batch(self) -> int:
        """The model's."""
        return self.judge.batch

    def __call__(self, response: str, problem: Problem) -> Verdict:
        return self.many([(response, problem)])[0]

    def warm(self) -> None:
        """What the rule does before its first answer, and loading the model."""
        for part in (self.rule, self.judge):
            if hasattr(part, "warm"):
                part.warm()

    def many(self, pairs: Sequence[tuple[str, Problem]]) -> list[Verdict]:
        """The verdict of each answer, in order."""
        rule = rule_of(self.rule)
        verdicts = [judge_here(rule, response, problem) for response, problem in pairs]
        rejected = [i for i, verdict in enumerate(verdicts) if verdict.outcome in ("wrong", "unparsable")]
        second = dict(zip(rejected, self.judge.many([pairs[i] for i in rejected]), strict=True))
        return [_decided(verdict, second.get(i)) for i, verdict in enumerate(verdicts)]


def _decided(first: Verdict, second: Verdict | None) -> Verdict:
    """Of the rule's verdict and the model's, which is none where it was not asked."""
    why = f": {first.detail}" if first.detail else ""
    if second is None or second.outcome not in ("right", "wrong"):
        return replace(first, detail=f"rule{why}")
    detail = f"{second.detail or 'model'}, rule {first.outcome}{why}"
    if second.outcome == "right":
        return Verdict("right", answer=first.answer or second.answer, detail=detail)
    return replace(first, detail=detail)
