"""Being right."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np
from strop.text import split_thought


@piece
class Correctness:
    """Pays for a right answer and charges for every other one.

    r_i = weight · (1 if attempt i is right, else `wrong`, or `unparsable` where no answer can be read, or `malformed`
    where the form is not kept, right or not). An attempt whose verdict is `error` or `timeout` counts as not right
    here; the metrics count it apart.

    Source: the accuracy reward of DeepSeek-R1 (arXiv:2501.12948, section 2.2.2). DAPO (arXiv:2503.14476, eq. 7) uses
    `wrong=-1`, STILL-3 (arXiv:2503.04548) `well_formed=True`, ReFT (arXiv:2401.08967) `wrong=0.1, unparsable=0`, LASER
    (arXiv:2505.15612) `wrong=-0.5, unparsable=-1, malformed=-1`.

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
    well_formed: bool = False
    """Pay only where the response has the form that `Format` pays for, too."""
    unparsable: FiniteFloat | None = None
    """What a response is worth in which no answer can be read, in units of `weight`; None pays as for a wrong one."""
    malformed: FiniteFloat | None = None
    """What a response without the form that `Format` pays for is worth, in units of `weight`; None looks at the answer
    alone."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        right = group.scores > 0
        if self.well_formed:
            right &= np.array([split_thought(t.text).well_formed for t in group.trajectories], dtype=bool)
        worth = np.where(right, 1.0, self.wrong)
        if self.unparsable is not None:
            silent = [t.verdict is not None and t.verdict.outcome == "unparsable" for t in group.trajectories]
            worth = np.where(silent, self.unparsable, worth)
        if self.malformed is not None:
            formed = np.array([split_thought(t.text).well_formed for t in group.trajectories], dtype=bool)
            worth = np.where(formed, worth, self.malformed)
        return self.weight * worth
