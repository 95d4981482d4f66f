"""What an answer is worth at its length."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class CosineLength:
    r"""A value for right and one for wrong answers that goes in a half cosine from short to long responses.

    .. math:: r(L) = b + \tfrac12 (a - b)\big(1 + \cos(\pi L / L_{max})\big)

    a is the value of a response of no tokens, b that of one of `max_length`; L is the number of written tokens, 0 where
    it is unknown. A right answer should lose by length; whether a wrong one should gain by it, thinking longer where it
    fails, or lose as well, is what the two sources disagree about.

    Source: Demystifying Long CoT (arXiv:2502.03373), whose values are the defaults; Open-RS (arXiv:2503.16219) has 1
    and 0.5 for right, 0 and -0.5 for wrong answers, and no value of its own for the limit.

    Departures: the former's code counts a response as exceeding from 16 tokens before the limit (`margin=16`), here
    that is the limit itself; the latter measures characters and does not stop the cosine at the limit.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 0), ("right", 50), ("wrong", 50), ("wrong", 100))
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> CosineLength(max_length=100, exceeded=None)(Group(problem, tuple(attempts))).round(6)
    array([ 2. ,  1.5, -5. ,  0. ])
    """

    max_length: Annotated[int, Field(ge=1)]
    """Tokens; the token budget of a response."""
    right: tuple[FiniteFloat, FiniteFloat] = (2.0, 1.0)
    """Values a and b of a right answer."""
    wrong: tuple[FiniteFloat, FiniteFloat] = (-10.0, 0.0)
    """Values a and b of any other answer."""
    exceeded: FiniteFloat | None = -10.0
    """Value from `max_length` on, right or wrong; None leaves what the cosine ends with."""
    margin: Annotated[int, Field(ge=0)] = 0
    """By how many tokens `exceeded` begins before `max_length`."""
    weight: FiniteFloat = 1.0
    """What all values are multiplied by."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        lengths = np.array([t.length for t in group.trajectories])
        first, last = np.where(group.scores[:, None] > 0, self.right, self.wrong).T
        turned = (1 + np.cos(np.pi * np.minimum(lengths / self.max_length, 1.0))) / 2
        values = last + (first - last) * turned
        if self.exceeded is not None:
            values = np.where(lengths >= self.max_length - self.margin, self.exceeded, values)
        return self.weight * values
