"""Runs the arms of a study: one process on each core, each with one thread, since two threads of one run cost more than
two runs of one thread.

::

    FOLDER/dapo/seed-0/        a run folder like any other
    FOLDER/dapo/seed-0.json    its recipe, as `strop run` takes it
    FOLDER/dapo/seed-0.log     what it printed
    FOLDER/times.jsonl         how long each process ran

A finished run is kept, one that a study beside this one has finished is taken over (`reuse.py`), a half one goes on
from its checkpoint, and one that failed is tried again: after any kill, the same command goes on. What cannot go on,
because another recipe began it, is refused with the name of the difference.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from strop.errors import ConfigError, StoreError
from strop.interrupt import last_step_on_interrupt
from strop.recipe import Recipe, from_data, to_json
from strop.store.files import disk_errors, step_of, write_file
from strop.store.run import Run
from strop.study.match import differs
from strop.study.measures import named, prepared
from strop.study.records import Arm, Study, wanted
from strop.study.reuse import reuse
from strop.study.worker import STOPPED, trained

_POLL = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a study: an arm trained with a seed."""

    arm: str
    seed: int
    recipe: Recipe
    run: Path
    measures: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.arm}/seed-{self.seed}"

    @property
    def file(self) -> Path:
        return self.run.with_name(f"{self.run.name}.json")

    @property
    def log(self) -> Path:
        return self.run.with_name(f"{self.run.name}.log")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return trained(self.run, self.recipe) and all(prepared(name, self.run) for name in self.measures)

    @property
    def step(self) -> int:
        """The last step it has written attempts of."""
        folder = self.run / "rollouts"
        return max((step_of(path) or 0 for path in folder.iterdir()), default=0) if folder.is_dir() else 0

    @property
    def says(self) -> str:
        """The last line of its log."""
        try:
            with open(self.log, "rb") as file:
                file.seek(max(0, os.path.getsize(self.log) - 2000))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].strip() if lines else ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended in an error."""

    run: str
    reason: str
    log: str


class Watcher(Protocol):
    """Whoever shows how a study goes. No call may raise."""

    def start(self, jobs: Sequence[Job], done: int, workers: int) -> None:
        """`jobs` are left to do; `done` were finished before."""
        ...

    def began(self, job: Job) -> None: ...

    def look(self, running: Sequence[Job]) -> None:
        """Called several times a second with the jobs that run now."""
        ...

    def ended(self, job: Job, seconds: float, failure: Failure | None) -> None: ...

    def message(self, text: str) -> None: ...

    def finish(self) -> None: ...


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs(study: Study, folder: Path) -> list[Job]:
    """Every run of a study: all arms of the first seed, then of the second, so that what is there can be compared."""
    return [
        Job(
            arm.name,
            seed,
            replace(arm.recipe, seed=seed),
            folder / arm.name / f"seed-{seed}",
            wanted(study, arm.name, seed),
        )
        for seed in study.seeds
        for arm in study.arms
        if not arm.run
    ]


def conduct(study: Study, folder: Path, watch: Watcher, workers: int | None = None) -> list[Failure]:
    """Bring every run of a study to its end, and say which ended in an error.

    Raises `KeyboardInterrupt` after the runs have saved, where the user stops it; the same call goes on.
    """
    count = cores() if workers is None else workers
    if count < 1:
        raise ConfigError(f"--workers must be 1 or more, got {count}.")
    for name in {arm.reads.get(name, name) for name in study.measures for arm in study.arms}:
        named(name)  # a name that is not known must not show up after the last run
    study = settled(study)
    every = jobs(study, folder)
    for job in every:
        check(job)
        if found := reuse(job.recipe, job.run, folder):
            watch.message(f"{job.name}: taken over from {found}")
            took = seconds(found.parent.parent).get(f"{found.parent.name}/{found.name}", 0.0)
            _note(folder, job, took)
    waiting = [job for job in every if not job.finished]
    running: dict[Job, subprocess.Popen[bytes]] = {}
    began: dict[Job, float] = {}
    failures: list[Failure] = []
    watch.start(waiting, len(every) - len(waiting), count)
    waiting.reverse()
    try:
        with last_step_on_interrupt(watch.message) as stopped:
            told = False
            while running or (waiting and not stopped()):
                while waiting and len(running) < count and not stopped():
                    job = waiting.pop()
                    running[job], began[job] = _start(job), time.monotonic()
                    watch.began(job)
                if stopped() and not told:
                    told = True
                    for process in running.values():
                        process.send_signal(signal.SIGINT)
                for job in [job for job, process in running.items() if process.poll() is not None]:
                    code, took = running.pop(job).returncode, time.monotonic() - began[job]
                    _note(folder, job, took)
                    failure = None if code == 0 or stopped() else _failure(job, code)
                    failures += [failure] if failure else []
                    watch.ended(job, took, failure)
                watch.look(tuple(running))
                time.sleep(_POLL)
            if stopped():
                raise KeyboardInterrupt
    finally:
        for job, process in running.items():
            process.kill()
            process.wait()
            _note(folder, job, time.monotonic() - began[job])
        watch.finish()
    return failures


def check(job: Job) -> None:
    """Refuse to go on with a run that another recipe began."""
    if not (job.run / "recipe.json").is_file():
        return
    found = differs(from_data(Run.open(job.run).recipe), job.recipe)
    if found:
        said = "; ".join(f"{path} was {old}, now {new}" for path, old, new in found[:3])
        more = f"; {len(found) - 3} more" if len(found) > 3 else ""
        raise StoreError(
            f"{job.run} was begun with another recipe: {said}{more}. Choose another folder with --out, or remove it."
        )


def settled(study: Study) -> Study:
    """The study with `auto` precision decided, once for all of its runs."""
    if all(arm.recipe.precision != "auto" for arm in study.arms):
        return study
    from strop.backends.torch.precision import resolve

    found = "bf16" if "bfloat16" in str(resolve("auto")) else "fp32"

    def settle(arm: Arm) -> Arm:
        return replace(arm, recipe=replace(arm.recipe, precision=found)) if arm.recipe.precision == "auto" else arm

    return replace(study, arms=tuple(map(settle, study.arms)))


def seconds(folder: Path) -> dict[str, float]:
    """How long each run has taken, over all of its processes."""
    found: dict[str, float] = {}
    for name, taken in _notes(folder):
        found[name] = found.get(name, 0.0) + taken
    return found


def _start(job: Job) -> "subprocess.Popen[bytes]":
    write_file(job.file, (to_json(job.recipe) + "\n").encode())
    command = [sys.executable, "-m", "strop.study.worker", str(job.file), str(job.run), *job.measures]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with disk_errors(job.log), open(job.log, "ab") as log:
        # a session of its own: a Ctrl-C in the terminal reaches it once, through us
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=os.environ | threads
        )


def _failure(job: Job, code: int) -> Failure:
    if code == STOPPED:
        reason = "it was stopped from outside"
    elif code < 0:
        killed = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        reason = f"killed by {killed}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    else:
        reason = job.says.removeprefix("error: ") or f"exit code {code}"
    return Failure(job.name, reason, str(job.log))


def _note(folder: Path, job: Job, taken: float) -> None:
    line = json.dumps({"run": job.name, "seconds": round(taken, 1)}) + "\n"
    with disk_errors(folder / "times.jsonl"), open(folder / "times.jsonl", "a", encoding="utf-8") as file:
        file.write(line)


def _notes(folder: Path) -> Iterator[tuple[str, float]]:
    path = folder / "times.jsonl"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
            yield str(row["run"]), float(row["seconds"])
        except (ValueError, KeyError, TypeError):
            continue  # a kill may have cut the last line short
