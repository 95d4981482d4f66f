"""What a game was worth."""

from pydantic import FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class Outcome:
    """Pays each move what the game it belongs to was worth to the player who made it.

    r_i = weight · `problem.data["outcome"]`, as episodes that play games (`SelfPlay`) write it down; 0 for an attempt
    at a problem that nobody played from. All attempts of a group are at one position, and so have one reward.

    Source: the zero-sum rewards of SPIRAL (arXiv:2506.24119).

    >>> from strop.records import Problem, Trajectory
    >>> lost = Problem(id="g/train/0/move 1", task="g", prompt=(), reference="", data={"outcome": -1.0})
    >>> Outcome(weight=2.0)(Group(lost, (Trajectory(problem=lost, sample=0, text=""),)))
    array([-2.])
    """

    weight: FiniteFloat = 1.0
    """What a won game is worth."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        return np.full(len(group), self.weight * float(group.problem.data.get("outcome", 0.0)))
