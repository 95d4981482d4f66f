"""What `strop decode` computes: the accuracy of a decoder at a budget, and of one that takes turns among checkpoints
beside what the same budget gives from a single one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.errors import ConfigError
from strop.keys import Key
from strop.statistics import bootstrap, paired_bootstrap

if TYPE_CHECKING:
    from strop.decoders.temporal_sampling import TemporalSampling
    from strop.records import Group, Trajectory

_OTHERWISE = {
    "answer": "Or let the answers be read: --verifier math.",
    "score": "Or choose by the answers: strop decode majority.",
}
"""What else to do where a file lacks what a decoder needs."""
SUBSAMPLES = 100
"""How many subsamples of the budget's size a problem with more attempts is averaged over."""
_NUMBERS = ("pass", "majority", "best_of_n")
_Attempts = Mapping[str, Mapping[str, "Sequence[Trajectory]"]]
"""By problem and checkpoint."""


def by_checkpoint(groups: "Sequence[Group]") -> "dict[str, list[Group]]":
    """The groups of each checkpoint, as they first come."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.trajectories[0].checkpoint, []).append(group)
    return found


def check_needs(name: str, decoder: Any, groups: "Sequence[Group]", file: Path) -> None:
    """Refuse rollouts that lack what a decoder chooses by."""
    from strop.decoders import NEEDS

    for need in getattr(decoder, "needs", ()):
        if need not in NEEDS:
            raise ConfigError(f"The decoder {name} needs {need}; it cannot run on a file of rollouts alone.")
        if not any(NEEDS[need](t) for group in groups for t in group.trajectories):
            raise ConfigError(
                f"{file} has no `{need}`, and {name} chooses by it: add one to each row. {_OTHERWISE[need]}"
            )


def decoded(decoder: Any, groups: "Sequence[Group]", budget: int) -> dict[str, Any]:
    """Accuracy of a decoder that answers each problem from `budget` attempts."""
    groups = sorted(groups, key=lambda group: group.problem.id)
    for group in groups:
        if len(group) < budget:
            raise ConfigError(
                f"A budget of {budget} needs {budget} samples of every problem, {group.problem.id!r} has {len(group)}: "
                f"take --budget at most {min(map(len, groups))}, or sample more."
            )
    _check_judged(groups)
    key = Key.root(0).fold("decode", budget)
    accuracy = np.array([_accuracy(decoder, group, budget, key) for group in groups])
    ci = list(bootstrap(accuracy, key.fold("ci")))
    return {"problems": len(groups), "budget": budget, "accuracy": float(accuracy.mean()), "ci": ci}


def across(
    decoder: "TemporalSampling", groups: "Sequence[Group]", budget: int, controls: "Mapping[str, Sequence[Group]]"
) -> dict[str, Any]:
    """Pass, majority and best-of-n of a decoder that takes turns among checkpoints, and of its controls.

    Controls spend the same budget on one checkpoint: `final` on the last, `best` on the one with the highest accuracy
    on these very problems, and each of `controls` on the last one of other rollouts, such as warmer ones.
    """
    from dataclasses import replace

    from strop.decoders.temporal_sampling import best_checkpoint, by_problem

    for some in (groups, *controls.values()):
        _check_judged(some)
    attempts = by_problem(groups)
    every = decoder.newest({name for each in attempts.values() for name in each})
    if len(every) < decoder.checkpoints:
        raise ConfigError(
            f"{decoder.checkpoints} checkpoints were asked for, and the rollouts hold {len(every)} "
            f"({', '.join(name or '(unnamed)' for name in every)}). Take --checkpoints {len(every)}."
        )
    single = replace(decoder, checkpoints=1)
    alone = {"final": _only(attempts, every[0]), "best": _only(attempts, best_checkpoint(attempts))}
    alone |= {name: _last(by_problem(each), single) for name, each in controls.items()}
    problems = sorted(name for name, each in attempts.items() if set(every) <= set(each))
    problems = [name for name in problems if all(name in each for each in alone.values())]
    if not problems:
        raise ConfigError(f"No problem was tried by all of the checkpoints {', '.join(every)} and by every control.")
    has = _available(groups)
    key = Key.root(0).fold("decode", "temporal", budget)

    def read(piece: "TemporalSampling", of: _Attempts) -> dict[str, np.ndarray]:
        rows = [piece.measure(of[problem], budget, key.fold(problem)) for problem in problems]
        return {name: np.array([row[name] for row in rows]) for name in has}

    own = read(decoder, {problem: {name: attempts[problem][name] for name in every} for problem in problems})
    found: dict[str, Any] = {name: float(own[name].mean()) if name in has else None for name in _NUMBERS}
    found |= {
        "problems": len(problems),
        "budget": budget,
        "left_out": len(attempts) - len(problems),
        "checkpoints": every,
        "quota": list(decoder.quota(budget)),
        "ci": {name: list(bootstrap(own[name], key.fold("ci"))) for name in has},
        "controls": {name: _control(single, of, problems, read, own, key) for name, of in alone.items()},
    }
    return found


def _control(
    single: "TemporalSampling",
    of: _Attempts,
    problems: Sequence[str],
    read: "Callable[[TemporalSampling, _Attempts], dict[str, np.ndarray]]",
    own: Mapping[str, np.ndarray],
    key: Key,
) -> dict[str, Any]:
    """One control; its numbers are None where it has too few attempts for the budget."""
    (checkpoint,) = {name for problem in problems for name in of[problem]}
    said: dict[str, Any] = {"checkpoint": checkpoint, **dict.fromkeys(_NUMBERS)}
    try:
        values = read(single, of)
    except ConfigError as error:
        return said | {"why": str(error)}
    differences = {name: list(paired_bootstrap(own[name], values[name], key.fold("ci"))) for name in values}
    return said | {name: float(each.mean()) for name, each in values.items()} | {"difference": differences}


def _check_judged(groups: "Sequence[Group]") -> None:
    bare = next((group for group in groups if any(t.verdict is None for t in group.trajectories)), None)
    if bare is not None:
        raise ConfigError(f"Problem {bare.problem.id!r} has attempts without `correct`: judge with --verifier math.")


def _available(groups: "Sequence[Group]") -> tuple[str, ...]:
    """Which of the three numbers the rollouts allow."""
    from strop.decoders import NEEDS

    wanted = {"pass": None, "majority": "answer", "best_of_n": "score"}
    every = [attempt for group in groups for attempt in group.trajectories]
    return tuple(name for name, need in wanted.items() if need is None or any(map(NEEDS[need], every)))


def _only(attempts: _Attempts, checkpoint: str) -> "dict[str, dict[str, Sequence[Trajectory]]]":
    return {name: {checkpoint: each[checkpoint]} for name, each in attempts.items() if checkpoint in each}


def _last(attempts: _Attempts, single: "TemporalSampling") -> "dict[str, dict[str, Sequence[Trajectory]]]":
    return _only(attempts, single.newest({name for each in attempts.values() for name in each})[0])


def _accuracy(decoder: Any, group: "Group", budget: int, key: Key) -> float:
    """The share of subsamples that are answered right; the attempts themselves where there are just enough."""
    count = len(group)
    total = 0.0
    draws = SUBSAMPLES if count > budget else 1
    for draw in range(draws):
        # in the order in which they were drawn, since ties go to the first
        chosen = sorted(key.fold(group.problem.id, draw).random().sample(range(count), budget))
        attempts = [group.trajectories[i] for i in chosen]
        index = decoder(attempts)
        verdict = None if index is None else attempts[index].verdict
        total += verdict.score if verdict is not None else 0.0
    return total / draws
