"""The most frequent answer."""

from collections.abc import Sequence
from typing import ClassVar

from strop.decoders._votes import answers, winner
from strop.piece import piece
from strop.records import Trajectory


@piece
class Majority:
    """Self-consistency: the answer that most attempts give.

    argmax_a #{i : a_i = a}; among equals the answer that came first. Attempts whose answer could not be read do not
    vote. Answers are compared as the verifier wrote them down (`Verdict.answer`). It returns the first attempt that
    gives the winning answer.

    Source: Self-Consistency (arXiv:2203.11171, section 2).

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> verdicts = Verdict("unparsable"), Verdict("wrong", "6"), Verdict("right", "5"), Verdict("right", "5")
    >>> Majority()([Trajectory(problem=problem, sample=i, text="", verdict=v) for i, v in enumerate(verdicts)])
    2
    """

    needs: ClassVar[tuple[str, ...]] = ("answer",)

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        return winner(answers(attempts), [1.0] * len(attempts))
