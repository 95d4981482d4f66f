"""Rewards relative to the others of their group."""

from strop.advantages._groups import centre
from strop.piece import piece
from strop.records import Float, np


@piece
class LeaveOneOut:
    r"""Each reward minus the mean of the other rewards of its group: an unbiased baseline.

    .. math:: A_i = r_i - \frac{1}{G-1} \sum_{j \neq i} r_j = \frac{G}{G-1} (r_i - \bar r)

    Source: RLOO (arXiv:2402.14740, section 2.2).

    Departures: a group of one has no others; its baseline is 0 and the advantage is the reward.

    >>> LeaveOneOut()(np.array([[3.0, 1.0, np.nan], [1.0, 0.0, 2.0]])).tolist()
    [[2.0, -2.0, nan], [0.0, -1.5, 1.5]]
    """

    def __call__(self, rewards: Float[np.ndarray, "P G"]) -> Float[np.ndarray, "P G"]:
        centred, present = centre(rewards)
        return np.where(present == 1, rewards, centred * present / np.maximum(present - 1, 1))
