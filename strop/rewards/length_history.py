"""Shorter than the shortest right answer so far."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, Trajectory, np


@piece
class LengthHistory:
    r"""Compares an attempt's length with that of the right answers that its problem had in earlier steps.

    .. math:: r_i = w \begin{cases} \max(f(L_i), -0.7) & \text{right} \\ \min(f(L_i), 0) & \text{else} \end{cases},
              \qquad f(L) = \cos\big(\tfrac\pi2 \min(L / h, 2)\big)

    h is the shortest right length of the problem so far; a problem without one has 0 for all. So a right answer gains
    by beating the record, a wrong one is never paid for being short, and with w up to 1 and 1 for being right, any
    right answer is worth more than any wrong one. The record is that of earlier steps, so it must be problems that come
    back: `Uniform(pool=...)` or a data set. `linear` has f = 1 - L/h below h, 0 up to h(1 + tolerance), and from there
    on a line of slope -1/h, for wrong answers down to -1.

    Source: HAPO, arXiv:2505.11225; code HCY123902/HAPO at c91ae3b.

    Departures: lengths are those of the written tokens, with the end-of-turn token, not those of the text tokenised
    again. In the code a problem drawn by two processes at once has a record in each, a mean is rounded down to whole
    tokens whenever it changes, and counts a step's right answers once for each attempt of the group. An attempt of
    unknown length sets no record.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 60), ("right", 20), ("wrong", 20), ("right", 120), ("wrong", 120))
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> group, history = Group(problem, tuple(attempts)), LengthHistory()
    >>> history(group, history.init()).tolist(), history(group, {"a/train/0": [60.0, 1]}).round(3).tolist()
    ([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.866, 0.0, -0.7, -1.0])
    >>> history.update(history.init(), [group])
    {'a/train/0': [20.0, 3]}
    """

    weight: FiniteFloat = 1.0
    """What the part is worth next to being right; at most 1, so that being right comes first."""
    track: Literal["shortest", "mean"] = "shortest"
    """What is remembered of a problem's right lengths."""
    shape: Literal["cosine", "linear"] = "cosine"
    """f."""
    tolerance: Annotated[float, Field(ge=0)] = 0.1
    """By how much the linear shape may exceed h for nothing, as a share of h."""
    lowest: Annotated[float, Field(ge=-1, le=0)] = -0.7
    """What a right answer loses at most, in units of `weight`."""

    def init(self) -> dict[str, list[float]]:
        """By problem id: the length that is remembered, and how many right answers it is of."""
        return {}

    def __call__(self, group: Group, state: Mapping[str, Sequence[float]]) -> Float[np.ndarray, " G"]:
        if group.problem.id not in state:
            return np.zeros(len(group))
        lengths = np.array([t.length for t in group.trajectories], dtype=np.float64)
        gains = self._gain(lengths / state[group.problem.id][0])
        return self.weight * np.where(group.scores > 0, np.maximum(gains, self.lowest), np.minimum(gains, 0.0)) + 0.0

    def update(self, state: Mapping[str, Sequence[float]], groups: Sequence[Group]) -> dict[str, list[float]]:
        known = {name: list(entry) for name, entry in state.items()}
        for group in groups:
            found = [t.length for t in group.trajectories if t.origin == "policy" and _right(t)]
            if not found:
                continue
            before, count = known.get(group.problem.id, (0.0, 0))
            total = int(count) + len(found)
            mean = before + (sum(found) - len(found) * before) / total
            shortest = min([*found, before]) if count else min(found)
            known[group.problem.id] = [float(mean if self.track == "mean" else shortest), total]
        return known

    def _gain(self, ratio: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
        if self.shape == "cosine":
            return np.cos(np.pi / 2 * np.minimum(ratio, 2.0))
        over = np.maximum(-1.0, 1 + self.tolerance - ratio)
        return np.where(ratio < 1, 1 - ratio, np.minimum(over, 0.0))


def _right(attempt: Trajectory) -> bool:
    return attempt.verdict is not None and attempt.verdict.score > 0 and attempt.length > 0
