"""Runs that train an adapter: stopped and resumed, evaluated, merged, each checkpoint read."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from strop import flow
from strop.backends.torch.sampler import TorchSampler
from strop.cli.main import app
from strop.engine import Engine, open_model
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError
from strop.keys import Key
from strop.measure import heldout
from strop.models import language_model
from strop.recipe import Heldout, LoRA, Recipe, from_data, override, to_json
from strop.recipes.grpo import grpo
from strop.store import checkpoint
from strop.store.query import differences
from strop.store.run import Run

pytest.importorskip("peft")


def recipe(**adapter) -> Recipe:
    made = grpo("arithmetic", steps=4, problems=2, samples=4, max_tokens=24)
    return replace(
        made,
        # every attempt has the advantage 1: each step changes something
        stages=(replace(made.stages[0], advantage=None),),
        adapter=LoRA(**{"rank": 4} | adapter),
        precision="fp32",
        heldout=Heldout(problems=4, quick=2, every=2, episode=SingleTurn(max_tokens=24)),
        checkpoint_every=2,
        keep=0,
        slots=8,
    )


class Killed(BaseException):
    pass


def run_and_break(made: Recipe, folder, monkeypatch, after: int) -> None:
    """Run until the process would have been killed in step `after` + 1."""
    original = flow.train_step

    def train_step(stage, engine, state, *others):
        if state.step == after:
            raise Killed
        return original(stage, engine, state, *others)

    with monkeypatch.context() as patched:
        patched.setattr(flow, "train_step", train_step)
        with pytest.raises(Killed):
            flow.run(made, out=folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    return flow.run(recipe(dropout=0.1), out=tmp_path_factory.mktemp("adapter") / "runs" / "whole")


def test_stopped_and_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch):
    broken = tmp_path / "runs" / "broken"
    run_and_break(recipe(dropout=0.1), broken, monkeypatch, after=3)
    assert Run.open(broken).checkpoints == [2]
    flow.resume(broken)
    assert differences(finished.path, broken) == []
    assert (finished.path / "checkpoints" / "step=000004" / "adapter_model.safetensors").is_file()


def test_checkpoints_are_small_and_each_is_a_model(finished):
    names = {file.name for file in finished.checkpoint(2).iterdir()}
    assert "model.safetensors" not in names
    whole = language_model.load("nano")
    size = sum(file.stat().st_size for file in finished.checkpoint().iterdir())
    # masters, two moments, the adapter itself: 16 bytes for each of its weights
    assert size < 0.1 * 4 * 4 * whole.net.num_parameters()

    def weights(model):
        return torch.cat([weight.detach().flatten() for weight in model.net.parameters()])

    start, two, four = weights(whole), weights(finished.model(2)), weights(finished.model())
    assert (two - start).abs().max() > 1e-5
    assert (four - two).abs().max() > 1e-5
    assert finished.model().context == whole.context

    masters = checkpoint.load(finished.checkpoint())["learner"]["weights"]
    place = "model.layers.2.mlp.down_proj"
    low, high = (masters[f"{place}.lora_{which}.default.weight"] for which in "AB")
    expected = whole.net.get_submodule(place).weight + 2.0 * high @ low
    torch.testing.assert_close(finished.model().net.get_submodule(place).weight, expected, rtol=0, atol=1e-7)
    assert (high @ low).abs().max() > 1e-5


def test_evaluated_and_merged(finished, tmp_path):
    runner = CliRunner()
    given = ["eval", str(finished.path), "-n", "8", "--max-tokens", "24", "--temperature", "0", "--json"]
    given += ["--precision", "fp32"]
    expected = runner.invoke(app, given)
    assert expected.exit_code == 0, expected.output
    out = tmp_path / "merged"
    said = runner.invoke(app, ["merge", str(finished.path), "--out", str(out), "--precision", "fp32"])
    assert said.exit_code == 0, said.output
    assert (out / "model.safetensors").is_file()
    assert not (out / "adapter_config.json").exists()
    actual = runner.invoke(app, [given[0], str(out), *given[2:]])
    for name in ("accuracy", "length", "verdicts"):
        assert json.loads(actual.stdout.splitlines()[-1])[name] == json.loads(expected.stdout.splitlines()[-1])[name]

    assert runner.invoke(app, ["merge", str(finished.path), "--out", str(tmp_path / "bf16")]).exit_code == 0
    assert language_model.load(tmp_path / "bf16", "stored").net.dtype == torch.bfloat16, "as the bundled model's file"
    again = runner.invoke(app, ["merge", str(finished.path), "--out", str(out)])
    assert isinstance(again.exception, ConfigError)
    assert "is there already" in str(again.exception)


@pytest.mark.parametrize("step", [2, 4])
def test_a_checkpoint_is_what_the_run_measured(finished, step):
    """With the same numbers to draw by, a saved model writes what the run's own sampler wrote at that step."""
    sql = f"SELECT response FROM rollouts WHERE split = 'heldout' AND step = {step} ORDER BY \"group\""
    expected = finished.query(sql)["response"].to_pylist()
    made = recipe()
    engine = Engine(made.task, TorchSampler(finished.model(step), slots=8, precision="fp32"), None)
    groups = heldout(engine, made.heldout.episode, len(expected), Key.root(made.seed).fold("heldout"))
    engine.judge().close()
    assert [t.text for group in groups for t in group.trajectories] == expected
    assert len(expected) == step


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_base_resumes(kind, tmp_path, monkeypatch):
    pytest.importorskip("torchao")
    made = recipe(quantise=kind)
    whole, broken = tmp_path / "runs" / "whole", tmp_path / "runs" / "broken"
    flow.run(made, out=whole)
    run_and_break(made, broken, monkeypatch, after=3)
    flow.resume(broken)
    assert differences(whole, broken) == []
    assert json.loads((whole / "checkpoints" / "step=000004" / "base.json").read_text()) == {
        "model": "nano",
        "quantise": kind,
    }


def test_settings():
    plain = grpo("arithmetic")
    assert plain.adapter is None
    made = override(plain, ["adapter.rank=8", 'adapter.targets=["q_proj"]'])
    assert made.adapter == LoRA(rank=8, targets=("q_proj",))
    assert made.adapter.scale == 16
    assert LoRA(rank=8, alpha=4).scale == 4
    assert from_data(json.loads(to_json(made))) == made
    assert override(made, ["adapter=null"]) == plain
    older = json.loads(to_json(plain))
    del older["adapter"], older["gradient_checkpointing"]
    assert from_data(older) == plain
    with pytest.raises(ConfigError, match=r"adapter\.rank"):
        override(plain, ["adapter.rank=0"])
    shown = CliRunner().invoke(app, ["run", "grpo", "--lora", "8", "--set", "adapter.alpha=8", "--dry-run", "--json"])
    adapter = json.loads(shown.stdout.splitlines()[-1])["adapter"]
    assert (adapter["rank"], adapter["alpha"]) == (8, 8.0)


def test_random_weights_take_no_adapter():
    with pytest.raises(ConfigError, match="scratch:micro has random weights"):
        open_model(replace(recipe(), model="scratch:micro"))


def test_layercast_and_checkpointing_run(tmp_path):
    made = replace(recipe(), adapter=None, precision="layercast", gradient_checkpointing=True, checkpoint_every=0)
    made = replace(made, stages=(replace(made.stages[0], steps=1),))
    run = flow.run(made, out=tmp_path / "runs" / "cast")
    row = run.metrics.to_pylist()[-1]
    assert row["grad_norm"] > 0
    # sampler and learner compute in fp32, with the same rounded weights
    assert row["mismatch/kl"] < 1e-8
    assert run.model().net.dtype == torch.float32
