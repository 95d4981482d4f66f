"""Two processes that share a model, and one alone: gradients, weights, samples and checkpoints must be the same.

gloo on this machine's CPU; NCCL is never reached here.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learner_loops import assert_close
from safetensors.torch import load_file
from several import ADAMW, PENALISED, WITH_VALUES, batch_of, small, tiny_folder, two_stages

from strop import flow
from strop.backends.fsdp import launch
from strop.backends.fsdp.lead import together
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.backends.workers import Workers
from strop.engine import Engine, make_learner, open_engine, open_model
from strop.errors import BackendError, ConfigError
from strop.keys import Key
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.preference.logistic_preference import LogisticPreference
from strop.objectives.regularisation.entropy_bonus import EntropyBonus
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.progress import progress
from strop.recipe import LoRA, Recipe, Term, to_json
from strop.recipes.grpo import grpo
from strop.records import Request

BY_ORIGIN = (
    Term(objective=ClipHigher(), weight=0.7, origins=("policy",), average=SequenceMean()),
    Term(objective=CrossEntropy(), weight=0.3, origins=("expert",)),
    Term(objective=EntropyBonus(), weight=0.05),
)
QUIET = progress("silent")


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    return tiny_folder(tiny_model, tmp_path_factory)


@pytest.fixture(scope="module", params=["all_weights", "adapter_recomputed"])
def recipe(model, request) -> Recipe:
    """With a value head; once an adapter in place of all weights, and layers that run again for the backward pass."""
    base = grpo("arithmetic", model=model)
    made = small(replace(base, stages=(replace(base.stages[0], objective=WITH_VALUES),)))
    adapted = request.param != "all_weights"
    if adapted:
        pytest.importorskip("peft", reason='adapters need "strop[lora]"')
    return replace(made, adapter=LoRA(rank=4), gradient_checkpointing=True) if adapted else made


@pytest.fixture(scope="module")
def pair(recipe) -> Iterator[Engine]:
    with open_engine(recipe, Workers(processes=2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def untrained(pair) -> Any:
    return pair.learner.state()


@pytest.fixture
def learner(pair, untrained) -> Any:
    """The two processes' learner, as it was when it was made."""
    pair.learner.restore(untrained)
    return pair.learner


@pytest.fixture
def one(recipe) -> TorchLearner:
    """That of one process."""
    return make_learner(recipe, open_model(recipe), None)


@pytest.mark.parametrize(
    ("objective", "average", "rows"),
    [
        (CrossEntropy(), TokenMean(), 13),
        (PENALISED, SequenceMean(), 2),
        (BY_ORIGIN, TokenMean(), 13),
        (WITH_VALUES, TokenMean(), 13),
        (LogisticPreference(nll_coef=0.2), SequenceMean(), 2),
    ],
    ids=["sft", "grpo_with_reference", "by_origin", "with_values", "one_pair"],
)
def test_steps_equal_those_of_one_process(objective, average, rows, learner, one):
    """Of one pair, whose rows belong together, the second process has nothing but to help with the layers."""
    for step in range(3):
        batch = batch_of(step, rows)
        actual = learner.step(batch, objective, average, ADAMW, 1e-3).metrics
        expected = one.step(batch, objective, average, ADAMW, 1e-3).metrics
        assert actual == pytest.approx(expected, rel=1e-4, abs=1e-5)
    actual, expected = learner.state(), one.state()
    assert actual.keys() == expected.keys()
    for part in ("weights", "first", "second"):
        assert_close(actual[part], expected[part], 1e-5)


def test_the_gradient_is_the_sum_over_processes(learner, one):
    """After one step the first moments are a tenth of the gradient itself, nothing of which was clipped."""
    free = replace(ADAMW, clip_norm=None)
    for each in (learner, one):
        each.step(batch_of(0, 13), PENALISED, TokenMean(), free, 1e-3)
    actual, expected = learner.state()["first"], one.state()["first"]
    assert max(float(value.abs().max()) for value in expected.values()) > 1e-3
    assert_close(actual, expected, 1e-7)


def test_preparation_and_notes_are_those_of_one_process(pair, learner, one):
    batch = batch_of(0, 9)
    unknown = dataclasses.replace(batch, old_logp=torch.where(batch.mask, torch.nan, 0.0))
    for each in (learner, one):
        each.set_reference()
        each.step(batch, CrossEntropy(), TokenMean(), ADAMW, 1e-2)
    actual, expected = (each.prepare(unknown, PENALISED) for each in (learner, one))
    assert (expected.ref_logp - expected.old_logp).abs().max() > 1e-2
    torch.testing.assert_close(actual.old_logp, expected.old_logp, atol=1e-5, rtol=0)
    torch.testing.assert_close(actual.ref_logp, expected.ref_logp, atol=1e-5, rtol=0)
    needs = ["logp", "entropy", "ref_logp", "value", "greedy"]
    assert_close(together(pair.sampler.hands, "notes", batch=batch, needs=needs), one.notes(batch, needs), 1e-5)


def test_samples_are_those_of_one_process(pair, learner, one):
    """Also after a step: what is sampled from follows what is trained."""
    for each in (learner, one):
        each.step(batch_of(0, 13), CrossEntropy(), TokenMean(), ADAMW, 1e-2)
    requests = [
        Request(prompt=np.arange(5) + i, seeds=[Key.root(i).fold(j).uint64() for j in range(3)], max_tokens=6)
        for i in range(3)
    ]
    drawn = (sampler.generate(requests) for sampler in (pair.sampler, TorchSampler(one.model, precision="fp32")))
    actual, expected = ({(c.request, c.sample): c for c in completions} for completions in drawn)
    assert actual.keys() == expected.keys()
    for place, completion in expected.items():
        assert actual[place].tokens.tolist() == completion.tokens.tolist()
        np.testing.assert_allclose(actual[place].logp, completion.logp, atol=1e-5)


def test_an_error_in_one_share_is_raised_and_the_team_goes_on(pair):
    """The prompt that is too long is in the second process's share."""
    fine, long = (Request(prompt=np.ones(n, dtype=int), seeds=[1], max_tokens=4) for n in (4, 500))
    with pytest.raises(BackendError, match="500"):
        list(pair.sampler.generate([fine, long]))
    assert len(list(pair.sampler.generate([fine, fine]))) == 2


RUN = ["-m", "strop", "run"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
HERE = os.environ | {"OMP_NUM_THREADS": "1"}
PATIENCE = 500
"""Seconds that a machine with much else to do may take."""


@pytest.fixture(scope="module")
def runs(model, tmp_path_factory) -> Path:
    """`one`: the whole run in one process; `two`: the same under torchrun."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = folder / "recipe.json"
    recipe.write_text(to_json(two_stages(model, 4)))
    command = [sys.executable, *TORCHRUN, *RUN, recipe, "--out", folder / "two", "--quiet", "--json"]
    two = subprocess.Popen([*map(str, command)], env=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    flow.run(two_stages(model, 4), out=folder / "one", display=QUIET)
    said, errors = two.communicate(timeout=PATIENCE)
    assert two.returncode == 0, errors
    # the process that follows says nothing
    assert json.loads(said)["step"] == 6
    return folder


def cut(run: Path, copy: Path, step: int) -> Path:
    """A copy of the run as it was when this step's checkpoint was written."""
    shutil.copytree(run, copy)
    for later in copy.glob("*/step=*"):
        if int(later.name.removeprefix("step=")) > step:
            shutil.rmtree(later)
    return copy


def numbers(run: Path) -> dict[tuple[int, str], float]:
    """Every number of every step but those that measure the machine."""
    table = flow.Run.open(run).query("SELECT step, name, value FROM metrics").to_pylist()
    kept = [row for row in table if not row["name"].startswith(("time/", "rate/"))]
    return {(row["step"], row["name"]): row["value"] for row in kept}


def assert_same_runs(actual: Path, expected: Path) -> None:
    assert numbers(actual) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-5)
    for name in ("model", "state"):
        ends = [load_file(run / "checkpoints/step=000006" / f"{name}.safetensors") for run in (actual, expected)]
        mine, others = ({n: v for n, v in end.items() if n != "__tree__"} for end in ends)
        assert_close(mine, others, 1e-5)


def test_a_run_under_torchrun_equals_one_process(runs):
    assert_same_runs(runs / "two", runs / "one")
    begun, done = (
        load_file(runs / "one/checkpoints" / step / "model.safetensors") for step in ("step=000002", "step=000006")
    )
    moved = max(float((done[name] - begun[name]).abs().max()) for name in done)
    assert moved > 1e-3, "nothing was learned that could differ"


def test_checkpoints_are_hugging_face_folders(runs):
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(runs / "two/checkpoints/step=000006", dtype="auto")
    assert net.dtype == torch.float32
    files = {path.name for path in (runs / "two/checkpoints/step=000006").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "state.safetensors"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".distcp", ".metadata"))]


def test_one_process_goes_on_from_two(runs, tmp_path):
    broken = cut(runs / "two", tmp_path / "runs" / "broken", 2)
    flow.resume(broken, display=QUIET)
    assert_same_runs(broken, runs / "one")


def test_a_killed_process_ends_the_run_and_resume_goes_on(runs, tmp_path):
    """Two processes go on from where one stopped, until one of them is killed; then two go on again."""
    broken = cut(runs / "one", tmp_path / "runs" / "broken", 2)
    command = [sys.executable, "-m", "strop", "resume", str(broken), "--processes", "2", "--quiet"]
    run = subprocess.Popen(command, env=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not list(broken.glob("rollouts/step=000003/*.parquet")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    (follower,) = (int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split())
    os.kill(follower, signal.SIGKILL)
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 2, said
    assert said.startswith("error: Process 2 of 2 was ended by SIGKILL.")
    assert f"strop resume {broken}" in said
    assert len(said.strip().splitlines()) == 1

    subprocess.run(command, env=HERE, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    assert_same_runs(broken, runs / "one")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"precision": "layercast"}, "precision=layercast"),
        ({"adapter": LoRA(rank=2, quantise="int8")}, "adapter.quantise=int8"),
        ({"adapter": LoRA(rank=2, dropout=0.1)}, "adapter.dropout=0.1"),
        ({"sampler": "vllm"}, "sampler=vllm"),
    ],
)
def test_what_cannot_be_divided_is_said_before_anything_starts(change, named, monkeypatch):
    monkeypatch.setattr(launch.subprocess, "Popen", None)
    with (
        pytest.raises(ConfigError, match=named) as raised,
        open_engine(replace(grpo(), **change), Workers(processes=2)),
    ):
        pass
    assert "leave out --processes" in str(raised.value)


def test_the_number_of_processes_must_be_torchruns(monkeypatch):
    assert launch.team_size(3) == 3
    assert launch.team_size(None) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launch.team_size(None) == launch.team_size(4) == 4
    with pytest.raises(ConfigError, match="--processes 3 does not fit torchrun, which started 4"):
        launch.team_size(3)
