"""Answering at once."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np
from strop.rewards._thought import skipped


@piece
class SkippedThought:
    """Pays for an empty think block, whether or not the answer is right.

    r_i = weight · (1 if nothing but blanks and dots stands in the think block of attempt i, and it is closed, else 0).
    Beside `Correctness` the weight is how much accuracy a shorter answer may cost.

    Source: the delta of AdaptThink (arXiv:2505.13417, eq. 5).

    >>> from strop.records import Problem, Trajectory
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> texts = ("<think></think>5", "<think>2+3=5</think>5", "<think>")
    >>> attempts = (Trajectory(problem=problem, sample=i, text=text) for i, text in enumerate(texts))
    >>> SkippedThought(weight=0.5)(Group(problem, tuple(attempts)))
    array([0.5, 0. , 0. ])
    """

    weight: FiniteFloat = 0.05
    """What not thinking is worth, in units of a right answer."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        return self.weight * np.array([float(skipped(t.text)) for t in group.trajectories])
