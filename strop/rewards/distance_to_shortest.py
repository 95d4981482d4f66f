"""A charge for every token away from the shortest right answer."""

from typing import Literal

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class DistanceToShortest:
    r"""Charges an attempt, right or wrong, for being longer or shorter than the shortest right one of its group.

    .. math:: r_i = -\beta\, |L_i - L^*|, \qquad L^* = \min_{j\ \text{right}} L_j

    Where no attempt is right, L* is the mean length of all: then the group is drawn together, and no length is
    preferred.

    Source: ShorterBetter, arXiv:2504.21370; code JingyangYi/ShorterBetter at 6399366, whose score is this and
    `Correctness(weight=2)`.

    Departures: none known; the default weight is the code's, for responses of thousands of tokens.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 30), ("right", 50), ("wrong", 10))
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> group = Group(problem, tuple(attempts))
    >>> DistanceToShortest(weight=0.5)(group), DistanceToShortest(weight=0.5, among="all")(group)
    (array([  0., -10., -10.]), array([-10., -20.,   0.]))
    """

    weight: FiniteFloat = 0.001
    """Price of a token: the coefficient beta."""
    among: Literal["right", "all"] = "right"
    """Whose shortest it is: that of the right attempts, or of all, which rewards giving up (the paper's control)."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        lengths = np.array([t.length for t in group.trajectories], dtype=np.float64)
        candidates = lengths[group.scores > 0] if self.among == "right" else lengths
        best = candidates.min() if len(candidates) else lengths.mean()
        # + 0.0 turns the -0.0 of the shortest into 0.0
        return -self.weight * np.abs(lengths - best) + 0.0
