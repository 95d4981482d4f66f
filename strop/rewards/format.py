"""Writing in the expected form."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np
from strop.text import split_thought


@piece
class Format:
    """Pays for exactly one think block at the start, followed by an answer, whether or not the answer is right.

    r_i = weight · (1 if attempt i is well formed, else 0).

    Source: the format reward of DeepSeek-R1 (arXiv:2501.12948, section 2.2.2).
    Departures: the paper gives no formula; here a second block, a missing end or an empty answer is worth nothing.

    >>> from strop.records import Problem, Trajectory
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> texts = ("<think>2+3</think>5", "5", "<think>2+3</think>")
    >>> attempts = (Trajectory(problem=problem, sample=i, text=text) for i, text in enumerate(texts))
    >>> Format(weight=0.5)(Group(problem, tuple(attempts)))
    array([0.5, 0. , 0. ])
    """

    weight: FiniteFloat = 1.0
    """What a well-formed response is worth."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        return self.weight * np.array([float(split_thought(t.text).well_formed) for t in group.trajectories])
