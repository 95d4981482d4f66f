"""How far an answer's length is from its group's."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class LengthScore:
    r"""Pays short right answers and long wrong ones by their lengths' deviation among those of their kind.

    .. math:: r_i = w \begin{cases} e^{-\alpha z_i} - 1 & \text{right} \\ 1 - e^{-\beta z_i} & \text{else} \end{cases},
              \qquad z_i = \frac{L_i - \bar L}{\mathrm{std}(L)}

    Mean and deviation (unbiased, at least 1e-6) are over the right attempts of the group for a right one, over the
    others for another; a kind with one member has 0. A right answer gains by being short; a wrong one should rather
    have thought for longer.

    Source: stage 3 of AutoThink, arXiv:2505.10832, and its code (ScienceOne-AI/AutoThink).

    Departures: z is clamped to ±20 before the exponential.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 1), ("right", 2), ("right", 3), ("wrong", 9))
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> LengthScore(right=1.0)(Group(problem, tuple(attempts))).round(4).tolist()  # z is -1, 0, 1: e - 1, 0, 1 / e - 1
    [1.7183, 0.0, -0.6321, 0.0]
    """

    right: Annotated[float, Field(ge=0)] = 0.05
    """alpha: how much a deviation counts for a right answer."""
    wrong: Annotated[float, Field(ge=0)] = 0.05
    """beta: how much for any other."""
    weight: FiniteFloat = 1.0
    """What the part is multiplied by."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        lengths = np.array([t.length for t in group.trajectories], dtype=np.float64)
        is_right = group.scores > 0
        rewards = np.zeros(len(group))
        for kind, rate, sign in ((is_right, self.right, 1.0), (~is_right, self.wrong, -1.0)):
            if kind.sum() > 1:
                spread = max(float(lengths[kind].std(ddof=1)), 1e-6)
                scores = np.clip((lengths[kind] - lengths[kind].mean()) / spread, -20, 20)
                rewards[kind] = sign * np.expm1(-rate * scores)
        return self.weight * rewards + 0.0
