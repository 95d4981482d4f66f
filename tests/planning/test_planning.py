"""What a run will need: against numbers worked out by hand, and against small runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from strop.batching import count
from strop.cli.main import app
from strop.engine import open_engine
from strop.errors import ConfigError
from strop.models.shapes import KNOWN as SHAPES
from strop.models.shapes import config_of, parameters
from strop.planning import afford as affording
from strop.planning import plan
from strop.planning.estimate import decode_of
from strop.planning.kept import kept
from strop.planning.machines import KNOWN, machines
from strop.recipe import override
from strop.recipes.dpo import dpo
from strop.recipes.grpo import grpo
from strop.recipes.sft import sft
from strop.records import Batch

H200 = KNOWN["H200"]


@pytest.mark.parametrize(
    ("model", "millions"),
    [("Qwen2.5-0.5B", 494), ("Qwen2.5-1.5B", 1544), ("Qwen2.5-7B", 7616), ("Qwen3-0.6B", 596), ("Llama-3.2-1B", 1236)],
)
def test_known_shapes_have_the_published_number_of_weights(model, millions):
    assert round(parameters(config_of(model))[0] / 1e6) == millions


def test_every_known_shape_can_be_built():
    for name in SHAPES:
        every, used = parameters(config_of(name))
        assert 0 < used <= every


def test_state_is_sixteen_bytes_a_weight_and_two_in_bf16():
    config = config_of("nano")
    every = parameters(config)[0]
    fp32, bf16 = (plan(override(sft(), [f"precision={p}"]), config, H200).memory for p in ("fp32", "bf16"))
    assert fp32["state"] == 16 * every
    assert bf16["state"] == 18 * every


def test_a_reference_is_another_copy_in_the_compute_precision():
    config = config_of("nano")
    recipe = override(dpo(), ["precision=bf16"])
    assert any("ref_logp" in stage.needs for stage in recipe.stages)
    assert plan(recipe, config, H200).memory["state"] == (18 + 2) * parameters(config)[0]


def test_an_adapter_needs_state_for_itself_alone():
    config = config_of("nano")
    recipe = override(grpo(), ["adapter.rank=4", "precision=fp32"])
    shape = {"hidden": 256, "wide": 704, "queries": 256, "keys": 64}
    each = 2 * (shape["hidden"] + shape["queries"]) + 2 * (shape["hidden"] + shape["keys"])
    each += 3 * (shape["hidden"] + shape["wide"])
    expected = 16 * 4 * 4 * each + 4 * parameters(config)[0]
    assert plan(recipe, config, H200).memory["state"] == expected


def allocated(scorer, tokens):
    """Bytes that a forward pass over one row leaves allocated while its result lives, as torch's profiler counts."""
    mask, group, zeros = torch.ones(1, tokens, dtype=torch.bool), torch.arange(1), torch.zeros(1, tokens)
    batch = Batch(
        tokens=mask.long(), mask=mask, advantage=zeros, old_logp=zeros, reward=zeros[:, 0], group=group,
        prompts=(np.zeros(4, dtype=np.int64),), counts=count(mask, group),
    )  # fmt: skip
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        scored = scorer(batch, ())
    del scored
    return sum(event.self_cpu_memory_usage for event in seen.events())


def test_kept_numbers_are_what_stays_allocated():
    """All four layers of the bundled model at their full width, against what narrow ones of one and two layers say."""
    from strop.backends.torch.logprobs import Scorer
    from strop.models import language_model

    long, short = 120, 60
    scorer = Scorer(language_model.load("nano").net)
    actual = allocated(scorer, long) - allocated(scorer, short)
    each = {tokens: kept(config_of("nano"), torch.float32, False, tokens) for tokens in (long, short)}
    said = [tokens * (4 * layer + rest) for tokens, (layer, rest) in each.items()]
    assert said[0] - said[1] == pytest.approx(actual, rel=0.1)


def test_layers_that_run_twice_keep_their_input_alone():
    config = config_of("Qwen2.5-0.5B")
    assert kept(config, torch.float32, True, 64)[0] == pytest.approx(4 * 896, rel=0.01)
    assert kept(config, torch.float32, False, 64)[0] > 20 * 4 * 896


def test_more_of_them_share_state_and_work():
    config = config_of("Qwen2.5-1.5B")
    recipe = override(grpo(), ["token_budget=2048"])
    one, eight = (plan(recipe, config, machines(text)) for text in ("1xH200", "8xH200"))
    assert eight.memory["state"] == pytest.approx(one.memory["state"] / 8)
    assert eight.seconds["learn"] == pytest.approx(one.seconds["learn"] / 8, rel=0.2)
    assert "exchange" in eight.seconds
    assert "exchange" not in one.seconds
    far = plan(recipe, config, machines("64xH200"))
    assert far.seconds["sync"] > 5 * eight.seconds["sync"]


def test_longer_answers_take_longer_and_more_memory():
    config = config_of("Qwen2.5-0.5B")
    recipe = override(grpo(), ["stages.0.episode.max_tokens=1024"])
    some, all_ = (plan(recipe, config, H200, mean=mean) for mean in (128, None))
    assert all_.seconds["write"] > 4 * some.seconds["write"]
    assert all_.memory["cache"] == some.memory["cache"]


def test_a_token_takes_bytes_and_operations_over_the_rates():
    """Qwen2.5-1.5B on an H200: 28,672 bytes of cache a token, 4.8 TB/s of which 80 %, 28 layers of 0.3 ms, and 989e12
    operations a second of which 40 %; two for each weight, and 2 * 28 * 1,536 for each token before."""
    config = config_of("Qwen2.5-1.5B")
    used = parameters(config)[1]
    actual = decode_of(config, H200, 2, 1000)
    assert actual.weights == pytest.approx(2 * used / 3.84e12)
    assert actual.row == pytest.approx(1000 * 28_672 / 3.84e12)
    assert actual.least == pytest.approx(0.0084)
    assert actual.work == pytest.approx((2 * used + 86_016 * 1000) / 395.6e12)


def test_learning_from_data_samples_nothing():
    found = plan(sft(), config_of("nano"), H200)
    assert found.memory["cache"] == 0
    assert "write" not in found.seconds
    assert "write" in plan(grpo(), config_of("nano"), H200).seconds


def test_slots_are_of_each_accelerator():
    """512 attempts and 256 slots: one fills its slots, each of eight has 64."""
    recipe = override(grpo(), ["stages.0.problems=64", "stages.0.samples=8", "slots=256", "token_budget=2048"])
    one, eight = (plan(recipe, config_of("Qwen2.5-0.5B"), machines(text)).memory for text in ("1xH200", "8xH200"))
    assert one["cache"] == pytest.approx(4 * eight["cache"])


def test_what_is_no_machine_and_no_model():
    with pytest.raises(ConfigError, match=r"--gpus takes a number and a kind.*got '1xH2OO'.*H200"):
        machines("1xH2OO")
    with pytest.raises(ConfigError, match=r"No shape of a model called 'Qwen2.5-15B'.*Qwen2\.5-1\.5B"):
        config_of("Qwen2.5-15B")


def test_the_command(tmp_path):
    said = CliRunner().invoke(app, ["plan", "--model", "Qwen2.5-0.5B", "--gpus", "1xH200", "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output.splitlines()[-1])
    assert found["fits"]
    assert found["peak"] < found["available"] == 141 * 10**9
    assert found["step"] == pytest.approx(sum(found["seconds"].values()))


def test_too_much_is_an_error_that_says_what_helps():
    said = CliRunner().invoke(app, ["plan", "--model", "Qwen2.5-7B", "--gpus", "1xA10"])
    assert isinstance(said.exception, ConfigError)
    assert "needs" in str(said.exception)
    assert "--lora 16" in str(said.exception)


def test_too_little_memory_is_said_before_a_model_is_loaded(tmp_path, monkeypatch):
    from strop.models import language_model

    folder = tmp_path / "model"
    language_model.save(language_model.load("nano"), folder)
    recipe = replace(grpo(steps=1), model=str(folder), precision="fp32")
    monkeypatch.setattr(affording, "free", lambda: (30e6, "this machine"))
    monkeypatch.setattr(language_model, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    with (
        pytest.raises(ConfigError, match=r"needs at least 0\.04 GiB.*this machine has 0\.03 GiB free.*strop plan"),
        open_engine(recipe),
    ):
        pass
