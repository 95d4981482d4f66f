"""Better than a frozen model?"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from strop.piece import piece
from strop.records import Float, Group, np


@piece
class ReferenceBaseline:
    r"""Each reward minus how often a reference model is right at the problem.

    .. math:: A_i = r_i - \bar R_{ref}(x), \qquad \bar R_{ref}(x) = \frac1K \sum_{k=1}^K C(y_k^{ref})

    The reference's attempts are those of origin `teacher` in the group, beside the policy's; only whether they are
    right counts, whatever the rewards. A problem that comes back is compared with all attempts that the reference ever
    made at it, and with those of earlier steps where it made none now; one that it never tried has the baseline 0. Not
    relative: a group in which all do as well as each other, and better than the reference, is pushed as a whole.

    Source: AdaptThink, arXiv:2505.13417, eq. 5, where the K attempts at each problem of a fixed set are made before
    training.

    Departures: they are made beside the policy's own, so that problems need not be known before.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> teacher = (Trajectory(problem=problem, sample=2 + i, text="", origin="teacher", verdict=Verdict(outcome))
    ...     for i, outcome in enumerate(("right", "wrong", "wrong", "wrong")))
    >>> baseline, group = ReferenceBaseline(), Group(problem, tuple(teacher))
    >>> baseline(np.array([[1.05, 0.0]]), [group], baseline.init()).round(4).tolist()
    [[0.8, -0.25]]
    >>> baseline(np.array([[1.0]]), [group], {"a/train/0": [3, 4]}).tolist()  # 4 of 8
    [[0.5]]
    """

    relative: ClassVar[bool] = False

    def init(self) -> dict[str, list[int]]:
        """By problem id: right attempts of the reference, and all of them."""
        return {}

    def __call__(
        self, rewards: Float[np.ndarray, "P G"], groups: Sequence[Group], state: Mapping[str, Sequence[int]]
    ) -> Float[np.ndarray, "P G"]:
        known = self.update(state, groups)
        records = [known.get(group.problem.id, (0, 0)) for group in groups]
        baselines = np.array([right / max(tried, 1) for right, tried in records])
        return rewards - baselines.reshape(-1, 1)

    def update(self, state: Mapping[str, Sequence[int]], groups: Sequence[Group]) -> dict[str, list[int]]:
        known = {name: list(record) for name, record in state.items()}
        for group in groups:
            found = [t.verdict.score > 0 for t in group.trajectories if t.origin == "teacher" and t.verdict is not None]
            if found:
                right, tried = known.get(group.problem.id, (0, 0))
                known[group.problem.id] = [right + sum(found), tried + len(found)]
        return known
