"""Measures of a run's checkpoints together: what they solve where they take turns, and what the last one has forgotten.

`pass@64|8`       whether one of 64 answers is right, dealt out over the newest 8 checkpoints (`TemporalSampling`)
`majority@64|8`   whether the most frequent of them is
`pass@64|best`    all 64 from the checkpoint that is right most often on these very problems
`pass@64|1~1.3`   from the newest checkpoint, at temperature 1.3
`ever_correct`, `forgetting`   of one greedy answer from each checkpoint (`Forgetting`)
"""

import functools
import re
from pathlib import Path
from typing import NamedTuple

from strop import rollouts
from strop.decoders.temporal_sampling import TemporalSampling, best_checkpoint, by_problem
from strop.errors import ConfigError
from strop.keys import Key
from strop.probes.forgetting import Forgetting
from strop.records import Trajectory
from strop.store.rollouts import read_rollouts
from strop.store.run import Run

GREEDY = ("ever_correct", "forgetting")
_NAME = re.compile(r"(pass|majority)@([0-9]{1,4})(?:\|([0-9]{1,3}|best)(?:~([0-9.]{1,8}))?)?")


class Spec(NamedTuple):
    """What the name of such a measure says."""

    name: str
    number: str
    """`pass`, `majority`, or one of `GREEDY`."""
    budget: int
    turns: int
    """Checkpoints that take turns; 0 is the single best one."""
    temperature: float | None
    """None is that of the run's own evaluation."""

    def file(self, run: Path) -> Path:
        """Where the rollouts behind it lie; `strop probe` and `strop decode` read them, too."""
        if self.number in GREEDY:
            return run / "checkpoints-greedy.jsonl"
        warm = "" if self.temperature is None else f"-last-{self.temperature:g}"
        return run / f"checkpoints-{self.budget}{warm}.jsonl"


def parse(name: str) -> Spec | None:
    """The measure that a name stands for; None where it is another kind of measure.

    >>> parse("pass@64|8").turns, parse("majority@64|1~1.3").temperature, parse("pass@64|best").turns
    (8, 1.3, 0)
    >>> parse("pass@64"), parse("accuracy")
    (None, None)
    """
    if name in GREEDY:
        return Spec(name, name, 1, 0, 0.0)
    found = _NAME.fullmatch(name)
    # pass@8 alone is an older measure, of answers drawn for it alone
    if found is None or (found[1] == "pass" and found[3] is None):
        return None
    turns = 0 if found[3] == "best" else int(found[3] or 1)
    budget, warm = int(found[2]), found[4]
    if not 1 <= budget <= 1024 or (found[3] != "best" and turns < 1) or (warm is not None and turns != 1):
        raise ConfigError(
            f"{name}: expected a budget from 1 to 1024 and one checkpoint or more, and a temperature with one only, "
            "such as pass@64|8, pass@64|best or pass@64|1~1.3."
        )
    return Spec(name, found[1], budget, turns, None if warm is None else float(warm))


def sample(run: Run, spec: Spec) -> None:
    """Draw the attempts behind a measure: from every checkpoint, or, at another temperature, from the last."""
    last = 1 if spec.temperature is not None and spec.number not in GREEDY else None
    draw = rollouts.of_run(run, spec.budget, spec.temperature)
    rollouts.sample(rollouts.checkpoints(run, last), draw, spec.file(run.path))


def read(run: Run, spec: Spec) -> dict[str, float]:
    """The measure's value of each problem."""
    path = spec.file(run.path)
    return dict(_read(path, path.stat().st_mtime_ns, spec))


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int, spec: Spec) -> tuple[tuple[str, float], ...]:
    attempts = _attempts(path, changed)
    if spec.number in GREEDY:
        grid = Forgetting().grid(read_rollouts(path))
        ever = grid.right.max(axis=1)
        values = ever - grid.right[:, -1] if spec.number == "forgetting" else ever
        return tuple(zip(grid.problems, values.tolist(), strict=True))
    decoder = TemporalSampling(checkpoints=spec.turns or 1)
    if not spec.turns:
        best = best_checkpoint(attempts)
        attempts = {name: {best: each[best]} for name, each in attempts.items()}
    key = Key.root(0).fold("temporal")
    return tuple(
        (name, decoder.measure(each, spec.budget, key.fold(name))[spec.number]) for name, each in attempts.items()
    )


@functools.lru_cache(maxsize=1)
def _attempts(path: Path, changed: int) -> dict[str, dict[str, list[Trajectory]]]:
    # many arms read one file, which may hold a hundred thousand attempts
    return by_problem(read_rollouts(path))
