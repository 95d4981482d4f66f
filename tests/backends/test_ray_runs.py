"""Whole runs on a real Ray cluster, where actors are killed on the way, and the same runs in one process."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from learner_loops import assert_close
from ray_cluster import PATIENCE, TWO, family, needs_ray, own_cluster
from safetensors.torch import load_file
from several import tiny_folder, two_stages

from strop import flow
from strop.backends.workers import Workers
from strop.curricula.uniform import Uniform
from strop.objectives.policy_gradient.truncated_importance import TruncatedImportance
from strop.recipe import to_json


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with own_cluster() as there:
        yield there


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    return tiny_folder(tiny_model, tmp_path_factory)


class Silent:
    """A display that shows nothing."""

    def start(self, recipe: str, total_steps: int, done: int = 0) -> None: ...
    def phase(self, name: str) -> None: ...
    def step(self, step: int, metrics: Any) -> None: ...
    def message(self, text: str) -> None: ...
    def finish(self, summary: str = "") -> None: ...


class Murderer(Silent):
    """Kills the learner in the second step, before there was a checkpoint, and a sampler in the third, the first one
    with attempts of the policy's own.

    They are stopped first, so that they certainly have something in hand when they end.
    """

    def __init__(self) -> None:
        # a process that waits for work may become an actor of this run
        self.others = {pid for pid, title in family(os.getpid()) if "Actor" in title}
        """Actors of other tests."""
        self.done = 0
        self.killed: list[str] = []

    def step(self, step: int, metrics: Any) -> None:
        self.done = step

    def phase(self, name: str) -> None:
        kind = {("learn", 1): "LearnerActor", ("generate", 2): "SamplerActor"}.get((name, self.done))
        if kind is None or kind in self.killed:
            return
        self.killed.append(kind)
        pid = next(p for p, title in family(os.getpid()) if title.startswith(f"ray::{kind}") and p not in self.others)
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()


@pytest.fixture(scope="module")
def runs(ray, model, tmp_path_factory) -> Path:
    """`one`: in one process; `killed`: on the cluster, where a sampler and the learner are killed on the way."""
    folder = tmp_path_factory.mktemp("runs")
    flow.run(two_stages(model, 2), out=folder / "one", display=Silent())
    murderer = Murderer()
    flow.run(two_stages(model, 2), out=folder / "killed", display=murderer, workers=TWO)
    assert murderer.killed == ["LearnerActor", "SamplerActor"]
    return folder


def numbers(run: Path) -> dict[tuple[int, str], float]:
    """Every number of every step but those that measure the machine or the cluster."""
    table = flow.Run.open(run).query("SELECT step, name, value FROM metrics").to_pylist()
    elsewhere = ("time/", "rate/", "sync/", "actors/")
    return {(row["step"], row["name"]): row["value"] for row in table if not row["name"].startswith(elsewhere)}


def assert_same_runs(actual: Path, expected: Path) -> None:
    assert numbers(actual) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-6)
    for name in ("model", "state"):
        ends = [load_file(run / "checkpoints/step=000004" / f"{name}.safetensors") for run in (actual, expected)]
        mine, others = ({n: v for n, v in end.items() if n != "__tree__"} for end in ends)
        assert_close(mine, others, 1e-6)


def attempts(run: Path) -> list[tuple[Any, ...]]:
    table = flow.Run.open(run).query("SELECT step, split, problem_id, sample, response FROM rollouts").to_pylist()
    return sorted(tuple(row.values()) for row in table)


@needs_ray
def test_a_run_whose_actors_are_killed_equals_one_process(runs):
    """At staleness 0: every number, every weight and moment; every attempt is stored once."""
    assert_same_runs(runs / "killed", runs / "one")
    actual, expected = attempts(runs / "killed"), attempts(runs / "one")
    assert actual == expected
    assert len({row[:4] for row in actual}) == len(actual)
    lost = flow.Run.open(runs / "killed").query("SELECT sum(value) n FROM metrics WHERE name = 'actors/replaced'")
    assert lost.to_pylist()[0]["n"] == 2


def cut(run: Path, copy: Path, step: int) -> Path:
    """A copy of the run as it was when this step's checkpoint was written."""
    shutil.copytree(run, copy)
    for later in copy.glob("*/step=*"):
        if int(later.name.removeprefix("step=")) > step:
            shutil.rmtree(later)
    return copy


@needs_ray
@pytest.mark.parametrize(
    ("before", "after"), [("killed", Workers()), ("one", Workers(cluster="ray"))], ids=["from_actors", "to_actors"]
)
def test_a_run_goes_on_with_other_workers(before, after, runs, tmp_path):
    broken = cut(runs / before, tmp_path / "runs" / "broken", 2)
    flow.resume(broken, display=Silent(), workers=after)
    assert_same_runs(broken, runs / "one")


@needs_ray
def test_what_is_drawn_ahead_is_what_one_process_draws(ray, model, tmp_path):
    """At staleness 1 a sampler draws the second and third step while the learner is at the one before, with the weights
    that one process would have used."""
    base = two_stages(model, 2)
    stage = replace(base.stages[1], objective=TruncatedImportance(), steps=3, curriculum=Uniform())
    recipe = replace(base, stages=(stage,), staleness=1, checkpoint_every=0)
    flow.run(recipe, out=tmp_path / "one", display=Silent())
    flow.run(recipe, out=tmp_path / "ahead", display=Silent(), workers=Workers(cluster="ray"))
    assert numbers(tmp_path / "ahead") == pytest.approx(numbers(tmp_path / "one"), rel=1e-4, abs=1e-6)
    assert attempts(tmp_path / "ahead") == attempts(tmp_path / "one")
    # the second step's were drawn before the first was learned from
    assert numbers(tmp_path / "ahead")[2, "mismatch/kl"] > 1e-6


def listening(pids: set[int]) -> set[str]:
    """The addresses that these processes accept connections at, as hexadecimal numbers."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


@needs_ray
def test_nobody_else_can_connect_and_nothing_is_left_after_sigkill(model, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(replace(two_stages(model, 2), checkpoint_every=1)))
    command = [sys.executable, "-m", "strop", "run", recipe, "--out", tmp_path / "run", "--quiet", "--cluster", "ray"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    run = subprocess.Popen([*map(str, command)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(tmp_path.glob("run/rollouts/step=*/*.parquet")):
            assert run.poll() is None, run.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        below = {pid for pid, _ in family(run.pid)}
        assert sum(command.startswith("ray::SamplerActor") for _, command in family(run.pid)) == 1
        loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
        addresses = listening(below | {run.pid})
        assert addresses
        assert addresses <= loopback
    finally:
        run.kill()
        run.wait()
    deadline = time.monotonic() + 30
    while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
        time.sleep(0.1)
