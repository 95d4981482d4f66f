"""A run killed at any moment and resumed equals one that was never interrupted: metrics, rollouts, final weights."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from strop.episodes.single_turn import SingleTurn
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.recipe import Heldout, Recipe, to_json
from strop.recipes.dapo import dapo
from strop.recipes.sft import sft
from strop.rewards.soft_overlong import SoftOverlong
from strop.store.query import differences

RUN = [sys.executable, "-m", "strop.cli.main"]


def two_stages(precision: str) -> Recipe:
    """Supervised steps, then steps with rewards that differ even for an untrained model (its lengths do)."""
    first = sft("arithmetic", model="scratch:micro", steps=4, problems=8)
    second = replace(
        dapo("arithmetic", model="scratch:micro", steps=6).stages[0],
        curriculum=first.stages[0].curriculum,
        episode=SingleTurn(max_tokens=24),
        rewards=(SoftOverlong(max_length=24, buffer=20),),
        average=SequenceMean(),
        problems=6,
        samples=4,
        minibatches=2,
    )
    return replace(
        first,
        name="two_stages",
        stages=(first.stages[0], second),
        heldout=Heldout(problems=8, quick=4, every=3, episode=SingleTurn(max_tokens=24)),
        checkpoint_every=2,
        precision=precision,
        slots=8,
    )


def start(*arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*RUN, *map(str, arguments), "--quiet"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, precision: str):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(two_stages(precision)))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start("run", recipe, "--out", whole).wait() == 0

    random.seed(os.getpid())  # a different moment each time: the property holds at all of them
    process = start("run", recipe, "--out", broken)
    stop_after = random.randint(1, 9)
    deadline = time.monotonic() + 120
    while not list(broken.glob(f"rollouts/step={stop_after:06d}/*.parquet")):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.random() * 0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert start("resume", broken).wait() == 0
    assert differences(whole, broken) == [], f"killed after step {stop_after}"


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(replace(two_stages("fp32"), checkpoint_every=0)))
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*RUN, "run", str(recipe), "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not list(out.glob("rollouts/step=000002/*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert f"strop resume {out}" in errors.decode()
    assert json.loads((out / "recipe.json").read_text())["name"] == "two_stages"
    saved = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert saved
    assert saved[-1] != "step=000010"
    assert start("resume", out).wait() == 0
    assert "step=000010" in {path.name for path in (out / "checkpoints").iterdir()}
