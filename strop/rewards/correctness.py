"""Being right."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class Correctness:
    """Pays for a right answer and charges for every other one.

    r_i = weight · (1 if attempt i is right, else `wrong`). An attempt whose verdict is `error` or `timeout` counts as
    not right here; the metrics count it apart.

    Source: the accuracy reward of DeepSeek-R1 (arXiv:2501.12948, section 2.2.2). DAPO (arXiv:2503.14476, eq. 7) uses
    `wrong=-1`.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> verdicts = Verdict("right"), Verdict("wrong")
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", verdict=v) for i, v in enumerate(verdicts))
    >>> Correctness(weight=2.0, wrong=-0.5)(Group(problem, tuple(attempts)))
    array([ 2., -1.])
    """

    weight: FiniteFloat = 1.0
    """What a right answer is worth."""
    wrong: FiniteFloat = 0.0
    """What any other answer is worth, in units of `weight`; -1 for symmetric rewards."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        return self.weight * np.where(group.scores > 0, 1.0, self.wrong)
