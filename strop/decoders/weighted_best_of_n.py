"""The answer with the highest sum of scores."""

import math
from collections.abc import Sequence
from typing import ClassVar

from strop.decoders._votes import answers, winner
from strop.piece import piece
from strop.records import Trajectory


@piece
class WeightedBestOfN:
    r"""Every attempt votes for its answer with its score.

    .. math:: \hat a = \arg\max_a \sum_{i : a_i = a} v_i

    Between majority (all scores equal) and best-of-n (one score that outweighs the rest). Among equals the answer that
    came first. Attempts without a readable answer, and scores that are no number, do not count. The sum, not the mean:
    a mean would not tell one lucky attempt from many that agree. Scores should not be negative, or votes for an answer
    speak against it.

    Source: Solving math word problems with process- and outcome-based feedback (arXiv:2211.14275, section 2.4).

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> said = ("6", 0.5), ("5", 0.25), ("5", 0.375)
    >>> WeightedBestOfN()([Trajectory(problem=problem, sample=i, text="", verdict=Verdict("wrong", a), reward=v)
    ...                    for i, (a, v) in enumerate(said)])
    1
    """

    needs: ClassVar[tuple[str, ...]] = ("answer", "score")

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        said = [
            answer if math.isfinite(t.reward) else None for answer, t in zip(answers(attempts), attempts, strict=True)
        ]
        return winner(said, [t.reward for t in attempts])
