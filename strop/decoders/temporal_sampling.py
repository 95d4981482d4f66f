"""Attempts dealt out over the last checkpoints of a training run."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from strop.decoders.best_of_n import BestOfN
from strop.decoders.majority import Majority
from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Trajectory
from strop.text import in_order


@piece
class TemporalSampling:
    r"""Takes turns among the newest checkpoints instead of drawing every attempt from the last one.

    With a budget of k attempts and t checkpoints, number 1 the newest, checkpoint j is drawn from

    .. math:: k_j = \lfloor k/t \rfloor + [j \le k \bmod t]

    times. From N stored attempts of each checkpoint at a problem, C_j of them right, the chance that one of the k is
    right is estimated without bias:

    .. math:: \text{Pass@}k|t = 1 - \prod_{j \le t} \binom{N - C_j}{k_j} \Big/ \binom{N}{k_j}

    `measure` gives that, and the share of `repeats` random pools of k attempts in which the most frequent answer
    (Maj@k|t; the newest checkpoint's first where there is a tie) and the best scored attempt that has an answer
    (BoN@k|t) are right. Called with the attempts of one pool, it names one that gives the most frequent answer among
    those of the newest checkpoints.

    Source: Temporal Sampling for Forgotten Reasoning (arXiv:2505.20196, section 3) and its code.
    Departures: the paper averages Maj over 10 pools and BoN over 30; where a pool takes every attempt there is, it is
    looked at once, in the order of the attempts.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> def tried(step, *said):
    ...     return [Trajectory(problem=problem, sample=i, text="", checkpoint=f"step-{step}",
    ...                        verdict=Verdict("right" if a == "5" else "wrong", a)) for i, a in enumerate(said)]
    >>> temporal = TemporalSampling(checkpoints=2)
    >>> temporal.quota(5)
    (3, 2)
    >>> temporal.measure({"step-8": tried(8, "5", "6"), "step-16": tried(16, "7", "7")}, 2, Key.root(0))["pass"]
    0.5
    """

    checkpoints: Annotated[int, Field(ge=1)] = 8
    """t, how many of the newest checkpoints take turns; paper 1, 2, 4 and 8."""
    repeats: Annotated[int, Field(ge=1)] = 30
    """Random pools that majority and best-of-n are averaged over."""
    order: tuple[str, ...] = ()
    """The checkpoints from first to last; empty takes them by the numbers in their names."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    across: ClassVar[bool] = True

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        newest = self.newest({attempt.checkpoint for attempt in attempts})
        pool = [(i, t) for name in newest for i, t in enumerate(attempts) if t.checkpoint == name]
        index = Majority()([attempt for _, attempt in pool])
        return None if index is None else pool[index][0]

    def quota(self, budget: int) -> tuple[int, ...]:
        """How many of `budget` attempts each checkpoint gets, the newest first."""
        each, rest = divmod(budget, self.checkpoints)
        return tuple(each + (j < rest) for j in range(self.checkpoints))

    def newest(self, names: Sequence[str] | set[str]) -> list[str]:
        """The checkpoints that take turns, the newest first."""
        known = [name for name in self.order if name in names] if self.order else in_order(names)
        return known[::-1][: self.checkpoints]

    def measure(self, attempts: Mapping[str, Sequence[Trajectory]], budget: int, key: Key) -> dict[str, float]:
        """`pass`, `majority` and `best_of_n` of one problem, from its stored attempts by checkpoint."""
        names = self.newest(set(attempts))
        if len(names) < self.checkpoints:
            raise ConfigError(f"There are {len(names)} checkpoints, {self.checkpoints} were asked for: take fewer.")
        places = list(zip(names, self.quota(budget), strict=True))
        for name, wanted in places:
            if len(attempts[name]) < wanted:
                problem = next((t.problem.id for each in attempts.values() for t in each), "")
                raise ConfigError(
                    f"A budget of {budget} over {self.checkpoints} checkpoints needs {wanted} attempts of {name!r} at "
                    f"every problem, {problem!r} has {len(attempts[name])}: take a smaller --budget, or sample more."
                )
        missed = math.prod(_missed(attempts[name], wanted) for name, wanted in places)
        whole = all(len(attempts[name]) == wanted for name, wanted in places)
        sums = {"majority": 0.0, "best_of_n": 0.0}
        repeats = 1 if whole else self.repeats
        for repeat in range(repeats):
            random = key.fold("pool", repeat).random()
            pool = [
                attempts[name][i]
                for name, wanted in places
                for i in sorted(random.sample(range(len(attempts[name])), wanted))
            ]
            sums["majority"] += _majority(pool)
            sums["best_of_n"] += _best(pool)
        return {"pass": 1 - missed, **{name: total / repeats for name, total in sums.items()}}


def by_problem(groups: Sequence[Group]) -> dict[str, dict[str, list[Trajectory]]]:
    """Attempts by problem and checkpoint."""
    found: dict[str, dict[str, list[Trajectory]]] = {}
    for attempt in (attempt for group in groups for attempt in group.trajectories):
        found.setdefault(attempt.problem.id, {}).setdefault(attempt.checkpoint, []).append(attempt)
    return found


def best_checkpoint(attempts: Mapping[str, Mapping[str, Sequence[Trajectory]]]) -> str:
    """The checkpoint that is right most often on problems that all of them tried; of equals the newest."""
    names = in_order({name for each in attempts.values() for name in each})
    common = [each for each in attempts.values() if len(each) == len(names)] or list(attempts.values())
    rows = {name: [sum(map(_right, each[name])) / len(each[name]) for each in common if name in each] for name in names}
    return max(names[::-1], key=lambda name: sum(rows[name]) / max(1, len(rows[name])))


def _missed(attempts: Sequence[Trajectory], wanted: int) -> float:
    """The chance that none of `wanted` attempts, drawn without replacement, is right."""
    wrong = sum(not _right(attempt) for attempt in attempts)
    return math.comb(wrong, wanted) / math.comb(len(attempts), wanted)


def _right(attempt: Trajectory) -> bool:
    return attempt.verdict is not None and attempt.verdict.score == 1


def _majority(pool: Sequence[Trajectory]) -> float:
    """Whether the most frequent answer was judged right in any attempt that gives it."""
    index = Majority()(pool)
    if index is None:
        return 0.0
    chosen = pool[index].verdict
    assert chosen is not None
    return float(any(t.verdict is not None and t.verdict.answer == chosen.answer and _right(t) for t in pool))


def _best(pool: Sequence[Trajectory]) -> float:
    """Whether the best scored attempt with an answer is right; among all where no answer was read."""
    read = [t for t in pool if t.verdict is not None and t.verdict.answer is not None]
    index = BestOfN()(read or pool)
    return 0.0 if index is None else float(_right((read or pool)[index]))
