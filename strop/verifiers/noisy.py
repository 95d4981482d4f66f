"""A verifier that errs as often as it is told to."""

from dataclasses import field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Verdict
from strop.verifiers import named, rule_of
from strop.verifiers.exact import Exact


@piece
class Noisy:
    """Another verifier's verdicts, a share of them turned round: what a method does with rewards that are wrong.

    Which ones follows from the problem and the text of the response alone: the same attempt is judged in the same way
    again, and different ones are turned independently. Verdicts that are neither right nor wrong stay.

    Source: the controlled false negatives and false positives of TinyV (arXiv:2505.14625, section 3).

    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> [Noisy(judge="exact", missed=1.0)(text, problem).outcome for text in ("5", "6", "")]
    ['wrong', 'wrong', 'unparsable']
    >>> Noisy(judge="exact", invented=1.0)("6", problem)
    Verdict(outcome='right', answer='6', detail='turned round')
    """

    judge: Annotated[Any, BeforeValidator(named)] = field(default_factory=Exact)
    """A verifier or the name of one, or a task that judges itself."""
    missed: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of right answers that are called wrong."""
    invented: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of wrong answers that are called right."""
    seed: int = 0
    """Which ones."""

    @property
    def isolate(self) -> bool:
        """As the other verifier does."""
        return bool(getattr(self.judge, "isolate", False))

    def warm(self) -> None:
        """What the other verifier does before its first answer."""
        if hasattr(self.judge, "warm"):
            self.judge.warm()

    def __call__(self, response: str, problem: Problem) -> Verdict:
        verdict = rule_of(self.judge)(response, problem)
        share = {"right": self.missed, "wrong": self.invented}.get(verdict.outcome, 0.0)
        key = Key.root(self.seed).fold("noisy", problem.id, response)
        if key.random().random() >= share:
            return verdict
        return Verdict("wrong" if verdict.outcome == "right" else "right", verdict.answer, "turned round")
