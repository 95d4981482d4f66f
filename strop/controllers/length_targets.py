"""Target lengths that follow the policy."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from strop.controllers import _path
from strop.piece import piece
from strop.records import Group, Report

if TYPE_CHECKING:
    from strop.recipe import Stage

Share = Annotated[float, Field(gt=0, le=1)]
BANDS = ("easy", "medium", "hard")


@piece
class LengthTargets:
    r"""Sets the targets of a `LengthTarget` so that attempts at problems of a difficulty fit below theirs often enough.

    .. math:: L_T(b) = \min\big\{ l \in \{l_0, l_0 + s, \dots, l_1\} : \tfrac1{|b|} \textstyle\sum_{i \in b}
              1[L_i \le l] \ge c_b \big\}

    b is easy, medium or hard: problems of which more than 2/3, more than 1/3, at most 1/3 of the attempts are right.
    All their attempts count, right or wrong. c is 1/floor(2G/3), 1/floor(G/3) and 1 with G attempts, so that of as many
    attempts as are right at least one should fit; where no length on the grid is enough, any length is allowed.

    Source: LASER-D, arXiv:2505.15612; code hkust-nlp/Laser at c9e7c4e.

    Departures: attempts are those of the training steps since the last estimate; the code samples 8 at each of 500
    problems set apart, before the first step and every 20 steps. So the first step has the stage's own targets, and the
    first estimate is made of that step alone. A last grid point above `upper` is left out.

    Logged:
      - `control/target_easy`, `control/target_medium`, `control/target_hard`: the targets, tokens; absent before the
        first estimate and where any length is allowed.

    >>> import numpy as np
    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.zeros(length, dtype=int),
    ...     verdict=Verdict("right")) for i, length in enumerate((12, 30, 35, 44, 90)))
    >>> controller = LengthTargets(lower=10, upper=40, step=10)
    >>> state = controller.update(controller.init(), [Group(problem, tuple(attempts))], Report({}))
    >>> state["targets"], controller.log(state)  # a fifth of the attempts fits into 20
    ([20, None, None], {'target_easy': 20.0})
    """

    path: str = "rewards.1.targets"
    """Which numbers are the targets, as in --set below the stage."""
    lower: Annotated[int, Field(ge=1)] = 10
    """Smallest target, tokens."""
    upper: Annotated[int, Field(ge=1)] = 160
    """Largest target, tokens; mostly the token budget."""
    step: Annotated[int, Field(ge=1)] = 10
    """Distance of two targets, tokens."""
    every: Annotated[int, Field(ge=1)] = 20
    """Steps between two estimates."""
    coverage: tuple[Share, Share, Share] = (0.2, 0.5, 1.0)
    """c of easy, medium and hard problems; these are for 8 attempts at each."""

    @model_validator(mode="after")
    def _check(self) -> "LengthTargets":
        if self.lower > self.upper:
            raise ValueError(f"lower must not be above upper, got {self.lower} and {self.upper}")
        return self

    def init(self) -> dict[str, Any]:
        """`counts`: by difficulty, attempts since the last estimate that fit each target but none before; then those
        that fit none."""
        return {"step": 0, "counts": self._nothing(), "targets": None}

    def apply(self, state: dict[str, Any], stage: "Stage") -> "Stage":
        return stage if state["targets"] is None else _path.put(stage, self.path, tuple(state["targets"]))

    def update(self, state: dict[str, Any], groups: Sequence[Group], report: Report) -> dict[str, Any]:
        counts, grid = [list(row) for row in state["counts"]], self._grid
        for group in groups:
            own = [t for t in group.trajectories if t.origin == "policy"]
            if not own:
                continue
            share = sum(t.verdict is not None and t.verdict.score > 0 for t in own) / len(own)
            # a group of just 2/3 is medium here and easy in the reward, as in the code
            row = counts[0 if share > 2 / 3 else 1 if share > 1 / 3 else 2]
            for attempt in own:
                row[bisect_left(grid, attempt.length)] += 1
        step = state["step"] + 1
        if step > 1 and step % self.every:
            return {"step": step, "counts": counts, "targets": state["targets"]}
        found = [self._target(row, share) for row, share in zip(counts, self.coverage, strict=True)]
        return {"step": step, "counts": self._nothing(), "targets": found}

    def log(self, state: dict[str, Any]) -> Mapping[str, float]:
        targets = state["targets"] or [None] * len(BANDS)
        return {f"target_{band}": float(at) for band, at in zip(BANDS, targets, strict=True) if at is not None}

    @property
    def _grid(self) -> list[int]:
        return list(range(self.lower, self.upper + 1, self.step))

    def _nothing(self) -> list[list[int]]:
        return [[0] * (len(self._grid) + 1) for _ in BANDS]

    def _target(self, counts: Sequence[int], share: float) -> int | None:
        fitting, total = list(accumulate(counts)), sum(counts)
        return next((at for at, n in zip(self._grid, fitting, strict=False) if total and n / total >= share), None)
