"""Shorter than the others of its group."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class RelativeLength:
    r"""Pays short right answers and charges long answers, right or wrong, by where they stand in their group.

    .. math:: r_i = w \begin{cases} \lambda_i & \text{right} \\ \min(0, \lambda_i) & \text{else} \end{cases}, \qquad
              \lambda_i = \frac12 - \frac{L_i - \min_j L_j}{\max_j L_j - \min_j L_j}

    0 where all are equally long. A wrong answer gains nothing by being short.

    Source: Kimi k1.5, arXiv:2501.12599, section 2.3.3, which has no public code; equal to `len_reward` of
    knoveleng/open-rs at 2889c47 and to the length part of `compute_kimi_penalty` of hkust-nlp/Laser at c9e7c4e.

    Departures: the latter gives a group of one minus its length, here it has 0 like any group of equal lengths.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 10), ("wrong", 10), ("right", 40), ("wrong", 50))
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> RelativeLength()(Group(problem, tuple(attempts)))
    array([ 0.5 ,  0.  , -0.25, -0.5 ])
    """

    weight: FiniteFloat = 1.0
    """What the whole way from longest to shortest is worth; the paper does not give it."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        lengths = np.array([t.length for t in group.trajectories], dtype=np.float64)
        spread = np.ptp(lengths)
        if spread == 0:
            return np.zeros(len(group))
        place = 0.5 - (lengths - lengths.min()) / spread
        return self.weight * np.where(group.scores > 0, place, np.minimum(place, 0.0)) + 0.0
