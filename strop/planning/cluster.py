"""Simulated steps beside measured ones: small runs with a learner and samplers in processes of their own, here."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strop.errors import BackendError
from strop.planning.simulate import Costs, Decode, simulate

PROBLEMS = (16, 4)
"""Prompts of a step of the two runs that costs are measured on: one number cannot tell what comes with the longest
answer from what comes with every answer."""
STEPS = 8
WARM = 2
"""First steps of a run that are left out: they also make the moments, and find out how to run the model."""
_SETTINGS = ("heldout.every=0", "heldout.problems=1", "checkpoint_every=0", "stages.0.objective=truncated_importance")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the steps of a run took, without the first ones."""

    draw: np.ndarray
    """Seconds until all answers were there and judged."""
    rest: np.ndarray
    """Seconds of everything else: learning, and writing down."""
    sync: np.ndarray
    """Seconds of handing weights over, which are in `draw`."""
    tokens: np.ndarray
    longest: np.ndarray
    lengths: tuple[int, ...]
    """Of all answers."""

    @property
    def step(self) -> float:
        return float((self.draw + self.rest).mean())


@dataclass(frozen=True, slots=True)
class Paced:
    """A step of one setting: what was said, and what was seen."""

    samplers: int
    staleness: int
    problems: int
    seconds: tuple[float, float]


def check_cluster(samplers: int, staleness: int, say: Callable[[str], None]) -> list[Paced]:
    """Measure what a sampler and a learner cost that take turns, say from that what other settings take, and run them.

    The first two are the runs that were measured; the others are those with so many samplers, so much staleness, and
    both. Samplers, learner and this process need a core each: where there are fewer they wait for each other, which
    nobody has told the simulation.
    """
    known = [run(1, 0, problems, say) for problems in PROBLEMS]
    costs = [costs_of(known, problems) for problems in PROBLEMS]
    found = [
        Paced(1, 0, problems, (simulate(cost, 1, 0).step, seen.step))
        for problems, cost, seen in zip(PROBLEMS, costs, known, strict=True)
    ]
    for many, ahead in dict.fromkeys(((samplers, 0), (1, staleness), (samplers, staleness))):
        if (many, ahead) != (1, 0):
            seen = run(many, ahead, PROBLEMS[0], say)
            found.append(Paced(many, ahead, PROBLEMS[0], (simulate(costs[0], many, ahead).step, seen.step)))
    return found


def costs_of(runs: Sequence[Measured], problems: int, group: int = 8) -> Costs:
    """What a step of so many problems costs, from runs of one sampler at a staleness of 0.

    A draw takes so much for each token of its longest answer and so much for each token of all; a learner's step so
    much, and so much for each token: lines through all steps of all runs.
    """
    longest, tokens = (np.concatenate([getattr(each, name) for each in runs]) for name in ("longest", "tokens"))
    sync = float(np.mean(np.concatenate([each.sync for each in runs])))
    draw, rest = (np.concatenate([getattr(each, name) for each in runs]) for name in ("draw", "rest"))
    step, row = _line(longest, tokens, draw - sync)
    fixed, token = _line(np.ones_like(tokens), tokens, rest)
    return Costs(
        lengths=runs[PROBLEMS.index(problems)].lengths, attempts=problems * group,
        decode=Decode(weights=step, row=row), learn=fixed, learn_token=token, sync_fixed=sync,
    )  # fmt: skip


def _line(first: np.ndarray, second: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """How much of each makes the values, by least squares; neither is below 0.

    >>> _line(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 5.0]), np.array([5.0, 8.0, 19.0]))
    (3.0, 2.0)
    >>> _line(np.array([1.0, 1.0]), np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    (1.5, 0.0)
    """
    both = np.stack([first, second], axis=1)
    one, other = np.linalg.lstsq(both, values, rcond=None)[0]
    if one < 0:
        one, other = 0.0, second @ values / (second @ second)
    elif other < 0:
        one, other = first @ values / (first @ first), 0.0
    return round(float(one), 9), round(float(other), 9)


def run(samplers: int, staleness: int, problems: int, say: Callable[[str], None], steps: int = STEPS) -> Measured:
    """GRPO on the bundled model, with a sampler's and a learner's processes of their own."""
    say(f"running {samplers} sampler{'s' if samplers > 1 else ''}, staleness {staleness}, {problems} problems ...")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = (*_SETTINGS, f"staleness={staleness}", f"stages.0.problems={problems}", "precision=fp32")
        command = [sys.executable, "-m", "strop", "run", "grpo", "--cluster", "ray", "--samplers", str(samplers)]
        command += ["--steps", str(steps), "--out", str(out), "-q", *(word for s in settings for word in ("--set", s))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendError(f"A run failed: {' '.join(done.stderr.split())[-400:]}")
        return measured(out, WARM + staleness)


def measured(folder: Path, warm: int) -> Measured:
    """Read what a run took, without its first steps."""
    from strop.store.run import Run

    found = Run.open(folder)
    table = found.metrics.to_pydict()
    names = ("time/generate", "time/verify", "time/step", "time/sync")
    columns = [np.array([v for s, v in zip(table["step"], table[name], strict=True) if s > warm]) for name in names]
    generate, verify, step, sync = (column.astype(float) for column in columns)
    written: dict[int, list[int]] = {}
    rows = found.query(f"SELECT step, tokens FROM rollouts WHERE split = 'train' AND step > {warm} ORDER BY step")
    for row in rows.to_pylist():
        written.setdefault(row["step"], []).append(int(row["tokens"]))
    draw = generate + verify
    return Measured(
        draw=draw, rest=step - draw, sync=sync,
        tokens=np.array([float(sum(each)) for each in written.values()]),
        longest=np.array([float(max(each)) for each in written.values()]),
        lengths=tuple(max(1, each) for step in written.values() for each in step),
    )  # fmt: skip
