"""Coverage: is a problem solved at least once?"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Group
from strop.statistics import bootstrap

Count = Annotated[int, Field(ge=1)]


@piece
class PassK:
    """The chance that at least one of k attempts at a problem is right, estimated from n >= k attempts.

    pass@k = mean over problems of 1 - C(n-c, k) / C(n, k), where c of the n attempts are right; 1 where n - c < k.

    Logged: `problems`; `samples`, the smallest and largest n; `pass@k` for each k; `unjudged`, attempts whose verdict
    is `timeout` or `error`, which count as not right; `ci`, 95 % bootstrap intervals over problems.

    Source: Codex (arXiv:2107.03374, eq. 1); as a boundary of reasoning arXiv:2504.13837.
    Departures: none; the fraction is multiplied out, 1 - prod_{i=n-c+1..n} (1 - k/i), so that large n do not overflow.

    >>> from strop.records import Problem, Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> verdicts = [Verdict("right"), Verdict("wrong"), Verdict("wrong"), Verdict("wrong")]
    >>> rows = tuple(Trajectory(problem=problem, sample=i, text="", verdict=v) for i, v in enumerate(verdicts))
    >>> found = PassK(k=(1, 2, 4))([Group(problem, rows)])
    >>> found["pass@1"], found["pass@2"], found["pass@4"]
    (0.25, 0.5, 1.0)
    """

    k: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """How many attempts one may take; none may exceed the attempts that some problem has."""

    def __call__(self, groups: Sequence[Group]) -> dict[str, Any]:
        if not groups:
            raise ConfigError("pass@k needs at least one problem, got none.")
        # the same numbers whatever the order in which the problems come
        groups = sorted(groups, key=lambda group: group.problem.id)
        for group in groups:
            if max(self.k) > len(group):
                raise ConfigError(
                    f"pass@{max(self.k)} needs {max(self.k)} samples of every problem, {group.problem.id!r} has "
                    f"{len(group)}: take k at most {min(map(len, groups))}, or sample more."
                )
            if any(t.verdict is None for t in group.trajectories):
                raise ConfigError(f"Problem {group.problem.id!r} has attempts without a verdict: judge them first.")
        counts = [(len(group), int(group.scores.sum())) for group in groups]
        values = {f"pass@{k}": np.array([pass_at(n, c, k) for n, c in counts]) for k in self.k}
        key = Key.root(0).fold("probes", "pass_k")
        lost = sum(t.verdict.outcome in ("timeout", "error") for g in groups for t in g.trajectories if t.verdict)
        return {
            "problems": len(groups),
            "samples": [min(n for n, _ in counts), max(n for n, _ in counts)],
            **{name: float(each.mean()) for name, each in values.items()},
            "unjudged": lost,
            "ci": {name: list(bootstrap(each, key)) for name, each in values.items()},
        }


def pass_at(n: int, c: int, k: int) -> float:
    """The unbiased estimate for one problem.

    >>> round(pass_at(4, 2, 2), 4)
    0.8333
    """
    return 1.0 if n - c < k else 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))
