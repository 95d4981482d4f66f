"""A charge for second thoughts and for length, in one budget."""

import re
from typing import Annotated

from pydantic import Field, FiniteFloat, model_validator

from strop.piece import piece
from strop.records import Float, Group, np
from strop.text import split_thought

Word = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
WORDS = (
    "wait", "alternatively", "hold on", "another thought", "verify", "think again", "but", "however", "alternative",
    "check", "double-check", "oh", "hmm",
)  # fmt: skip


@piece
class ReflectionLength:
    r"""Charges right answers for reflecting more, and for being longer, than the right answers of their group.

    .. math:: r_i = -w \big( s_i\, \sigma(z^R_i) + (1 - s_i)\, \sigma(z^L_i) \big), \qquad
              z^X_i = \frac{X_i - \mu_X}{\sigma_X + 10^{-6}}

    R counts words of reflection, L tokens; means and sample deviations are over the group's right answers, a single one
    has deviation 1. The share s of reflection in the budget w rises with R, which stands for how hard the problem is:
    `shares[0]` up to `thresholds[0]` words, `shares[1]` up to `thresholds[1]`, `shares[2]` above. A wrong or badly
    formed answer pays nothing; next to a reward of 1 for being right, right answers still come first.

    Source: ARLCP, arXiv:2602.12113; code ZeweiYu1/ARLCP at d2c0a53, whose score is this and
    `Correctness(well_formed=True)`. `shares=(1, 1, 1)` and `(0, 0, 0)` are its ablations.

    Departures: none known; words and thresholds are the code's, for thoughts of thousands of tokens. As there, a right
    answer in a bad form pays nothing but counts in the group's statistics.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("2+3=5 Wait, check", 10), ("2+3=5", 10), ("2+3=6 checked", 99))
    >>> attempts = (Trajectory(problem=problem, sample=i, text=f"<think>{thought}</think>5", tokens=np.zeros(n),
    ...     verdict=Verdict("wrong" if n == 99 else "right")) for i, (thought, n) in enumerate(rows))
    >>> ReflectionLength(weight=1.0)(Group(problem, tuple(attempts))).round(4)  # z^R = 1 / sqrt(2) up to sign, z^L = 0
    array([-0.5424, -0.4576,  0.    ])
    """

    words: Annotated[tuple[Word, ...], Field(min_length=1)] = WORDS
    """Words of reflection; found as whole words, in upper or lower case."""
    thresholds: tuple[Count, Count] = (40, 80)
    """Words of reflection above which the share of reflection is the next one."""
    shares: tuple[Share, Share, Share] = (0.25, 0.5, 0.75)
    """Part of the budget that reflection has; the rest is that of length."""
    weight: FiniteFloat = 0.2
    """The whole budget."""

    @model_validator(mode="after")
    def _check(self) -> "ReflectionLength":
        if self.thresholds[0] > self.thresholds[1]:
            raise ValueError(f"thresholds must not fall, got {self.thresholds[0]} and {self.thresholds[1]}")
        return self

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        right = group.scores > 0
        formed = np.array([split_thought(t.text).well_formed for t in group.trajectories], dtype=bool)
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, self.words))})\b", re.IGNORECASE)
        reflections = np.array([len(pattern.findall(t.text)) for t in group.trajectories], dtype=np.float64)
        lengths = np.array([t.length for t in group.trajectories], dtype=np.float64)
        share = np.array(self.shares)[np.searchsorted(self.thresholds, reflections)]
        charge = share * _standing(reflections, right) + (1 - share) * _standing(lengths, right)
        # + 0.0 turns the -0.0 of who pays nothing into 0.0
        return -self.weight * np.where(right & formed, charge, 0.0) + 0.0


def _standing(values: Float[np.ndarray, " G"], right: np.ndarray) -> Float[np.ndarray, " G"]:
    """Where each value stands among those of the right answers, from 0 to 1."""
    known = values[right]
    mean = known.mean() if len(known) else 0.0
    deviation = known.std(ddof=1) if len(known) > 1 else 1.0
    # the logistic function by a tangent that does not overflow
    return (1 + np.tanh((values - mean) / (deviation + 1e-6) / 2)) / 2
