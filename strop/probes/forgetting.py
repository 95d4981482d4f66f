"""What a model could do on the way and cannot do at the end."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Float, Group
from strop.statistics import bootstrap
from strop.text import in_order


class _Grid(NamedTuple):
    checkpoints: list[str]
    """From first to last."""
    problems: list[str]
    """Those that every checkpoint tried."""
    right: Float[np.ndarray, "P C"]
    """Share of right attempts."""
    tried: Float[np.ndarray, "P C"]
    """How many attempts."""
    left_out: int
    """Problems that some checkpoint did not try."""


@piece
class Forgetting:
    r"""Problems that were solved at some checkpoint and are not solved by the last one.

    With c(q, i) = 1 where checkpoint i solves problem q, C checkpoints of which the first is the base, and P problems:

    .. math::
        \text{ever} = \frac1P \sum_q \max_i c(q, i), \quad \text{final} = \frac1P \sum_q c(q, C), \quad
        \text{forgetting} = \text{ever} - \text{final}, \quad \text{lost} = \frac1P \sum_q c(q, 1)\,(1 - c(q, C))

    One greedy attempt at each problem gives the paper's scores. Where a checkpoint has several attempts, every score is
    its mean over one attempt drawn from each checkpoint. Sampled attempts swing by chance, and `by_chance` is the
    forgetting they would show if the attempts at a problem were dealt to the checkpoints at random.

    Logged: `problems`, those that every checkpoint tried; `ever_correct`, `final`, `forgetting`, `lost` and
    `by_chance`, shares of them; `left_out`, the other problems; `checkpoints` in their order; `accuracy` of each;
    `transitions` between neighbours, shares of all problems: `forget` right then wrong, `improve` wrong then right,
    `both_right`, `both_wrong`; `ci`, 95 % bootstrap intervals over problems.

    Source: Temporal Sampling for Forgotten Reasoning (arXiv:2505.20196, section 2).
    Departures: the first checkpoint counts for `ever_correct`, too, since rollouts need not have a base model;
    `base=false` leaves it out as the paper does.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> def tried(name, *rights):
    ...     problem = Problem(id=name, task="a", prompt=(), reference="5")
    ...     for step, right in enumerate(rights):
    ...         verdict = Verdict("right" if right else "wrong")
    ...         yield Group(problem, (Trajectory(problem=problem, sample=0, text="", verdict=verdict,
    ...                                          checkpoint=f"step-{step}"),))
    >>> found = Forgetting()([*tried("x", 1, 1, 0), *tried("y", 0, 1, 0), *tried("z", 0, 0, 1), *tried("w", 0, 0, 0)])
    >>> [found[name] for name in ("problems", "ever_correct", "final", "forgetting", "lost")]
    [4, 0.75, 0.25, 0.5, 0.25]
    >>> found["transitions"][0]
    {'from': 'step-0', 'to': 'step-1', 'forget': 0.0, 'improve': 0.25, 'both_right': 0.25, 'both_wrong': 0.5}
    """

    base: bool = True
    """Whether the first checkpoint counts for `ever_correct`; paper: no."""
    order: tuple[str, ...] = ()
    """The checkpoints from first to last; empty takes them by the numbers in their names."""

    across: ClassVar[bool] = True
    split: ClassVar[str] = "heldout"
    least: ClassVar[int] = 2
    page: ClassVar[str] = "forgetting.html.j2"

    def __call__(self, groups: Sequence[Group]) -> dict[str, Any]:
        grid = self.grid(groups)
        right, last = grid.right, len(grid.checkpoints) - 1
        start = 0 if self.base or last == 0 else 1
        ever = 1 - np.prod(1 - right[:, start:], axis=1)
        final = right[:, -1]
        values = {
            "ever_correct": ever,
            "final": final,
            "forgetting": ever - final,
            "lost": right[:, 0] * (1 - final) if last else np.zeros(len(final)),
            "by_chance": _by_chance(right[:, start:], grid.tried[:, start:]),
        }
        key = Key.root(0).fold("probes", "forgetting")
        return {
            "problems": len(grid.problems),
            **{name: float(each.mean()) for name, each in values.items()},
            "left_out": grid.left_out,
            "checkpoints": grid.checkpoints,
            "accuracy": [float(each) for each in right.mean(axis=0)],
            "transitions": [_transition(grid, i) for i in range(last)],
            "ci": {name: list(bootstrap(each, key)) for name, each in values.items()},
        }

    def grid(self, groups: Sequence[Group]) -> _Grid:
        """Share of right attempts by problem and checkpoint."""
        counts: dict[str, dict[str, tuple[float, int]]] = {}
        for group in groups:
            for attempt in group.trajectories:
                if attempt.verdict is None:
                    raise ConfigError(f"Problem {group.problem.id!r} has attempts without a verdict: judge them first.")
                right, tried = counts.setdefault(group.problem.id, {}).get(attempt.checkpoint, (0.0, 0))
                counts[group.problem.id][attempt.checkpoint] = right + attempt.verdict.score, tried + 1
        known = {name for each in counts.values() for name in each}
        if self.order and (strange := sorted(known.symmetric_difference(self.order))):
            raise ConfigError(f"`order` must name every checkpoint once; it and the rollouts differ in {strange}.")
        names = list(self.order) or in_order(known)
        problems = sorted(name for name, each in counts.items() if len(each) == len(names))
        if not problems:
            raise ConfigError(f"No problem was tried by all of the checkpoints {', '.join(names) or '(none)'}.")
        table = np.array([[counts[problem][name] for name in names] for problem in problems], dtype=np.float64)
        return _Grid(names, problems, table[..., 0] / table[..., 1], table[..., 1], len(counts) - len(problems))


def _transition(grid: _Grid, i: int) -> dict[str, Any]:
    before, after = grid.right[:, i], grid.right[:, i + 1]
    parts = {
        "forget": before * (1 - after),
        "improve": (1 - before) * after,
        "both_right": before * after,
        "both_wrong": (1 - before) * (1 - after),
    }
    ends = {"from": grid.checkpoints[i], "to": grid.checkpoints[i + 1]}
    return ends | {name: float(each.mean()) for name, each in parts.items()}


def _by_chance(right: Float[np.ndarray, "P C"], tried: Float[np.ndarray, "P C"]) -> Float[np.ndarray, " P"]:
    """Ever minus final, where every checkpoint gets one of the problem's attempts at random."""
    draws = right.shape[1]
    total, solved = tried.sum(axis=1), np.rint((right * tried).sum(axis=1))
    never = [math.prod(max(0.0, 1 - c / (n - i)) for i in range(draws)) for n, c in zip(total, solved, strict=True)]
    return 1 - np.array(never) - solved / total
