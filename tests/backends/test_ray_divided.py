"""One model on two actors: what they learn together is what one process learns, also when one of them is lost."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from learner_loops import assert_close
from ray_cluster import family, needs_ray, own_cluster
from safetensors.torch import load_file
from several import ADAMW, PENALISED, WITH_VALUES, batch_of, small, tiny_folder

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.backends.workers import Workers
from strop.engine import Engine, make_learner, open_engine, open_model
from strop.errors import ConfigError
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import LoRA, Recipe
from strop.recipes.grpo import grpo
from strop.records import Request

PAIR = Workers(cluster="ray", samplers=1, learners=2)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with own_cluster() as there:
        yield there


@pytest.fixture(scope="module", params=["all_weights", "adapter"])
def recipe(request, tiny_model, tmp_path_factory) -> Recipe:
    base = small(grpo("arithmetic", model=tiny_folder(tiny_model, tmp_path_factory)))
    if request.param == "adapter":
        pytest.importorskip("peft", reason='adapters need "strop[lora]"')
        return replace(base, adapter=LoRA(rank=2))
    return replace(base, stages=(replace(base.stages[0], objective=WITH_VALUES),))


@pytest.fixture(scope="module")
def pair(ray, recipe) -> Iterator[Engine]:
    with open_engine(recipe, PAIR) as engine:
        yield engine


@pytest.fixture(scope="module")
def untrained(pair) -> Any:
    return pair.learner.state()


@pytest.fixture
def learner(pair, untrained) -> Any:
    pair.learner.restore(untrained)
    return pair.learner


@pytest.fixture
def one(recipe) -> TorchLearner:
    """That of one process."""
    return make_learner(recipe, open_model(recipe), None)


def learn(learner: Any, step: int = 0) -> dict[str, float]:
    return dict(learner.step(batch_of(step), CrossEntropy(), TokenMean(), ADAMW, 1e-2).metrics)


def assert_same_state(actual: Any, expected: Any) -> None:
    assert actual.keys() == expected.keys()
    for part in expected:
        assert_close(actual[part], expected[part], 1e-5)


@needs_ray
def test_steps_equal_those_of_one_process(learner, one):
    for each in (learner, one):
        each.set_reference()
    for step in range(3):
        given = batch_of(step), PENALISED, SequenceMean(), ADAMW, 1e-3
        assert dict(learner.step(*given).metrics) == pytest.approx(one.step(*given).metrics, rel=1e-4, abs=1e-5)
    assert_same_state(learner.state(), one.state())
    needs = ["logp", "entropy", "ref_logp"]
    assert_close(learner.call("notes", batch=batch_of(0), needs=needs), one.notes(batch_of(0), needs), 1e-5)


@needs_ray
def test_samplers_follow_and_the_folder_is_whole(pair, learner, one, tmp_path):
    for each in (learner, one):
        learn(each)
    requests = [Request(prompt=torch.arange(1, 6).numpy(), seeds=list(range(8)), max_tokens=12)]
    actual = sorted((c.sample, c.tokens.tolist()) for c in pair.sampler.generate(requests))
    expected = TorchSampler(one.model, precision="fp32").generate(requests)
    assert actual == sorted((c.sample, c.tokens.tolist()) for c in expected)
    for name, each in (("two", learner), ("one", one)):
        each.save_model(tmp_path / name)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("two", "one")]
    assert files[0] == files[1]
    weights = next(name for name in files[0] if name.endswith(".safetensors"))
    assert_close(load_file(tmp_path / "two" / weights), load_file(tmp_path / "one" / weights), 1e-5)


@needs_ray
@pytest.mark.parametrize("kind", ["LearnerActor", "FollowerActor"])
def test_when_one_is_lost_both_are_replaced_and_nothing_is_lost(kind, learner, one, capfd):
    for each in (learner, one):
        learn(each)
        each.state()
        learn(each, 1)
    victim = next(pid for pid, title in family(os.getpid()) if title.startswith(f"ray::{kind}"))
    os.kill(victim, signal.SIGKILL)
    actual, expected = learn(learner, 2), learn(one, 2)
    assert actual.pop("actors/replaced") == 1
    assert {name: actual[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert_same_state(learner.state(), one.state())
    assert "The learner was lost and is replaced: its process " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [({"precision": "layercast"}, "layercast cannot be divided.*--learners"), ({"model": "scratch:vision"}, "images")],
)
@needs_ray
def test_what_cannot_be_divided_is_said(ray, change, said, tmp_path: Path):
    with pytest.raises(ConfigError, match=said), open_engine(replace(grpo("visual_puzzles"), **change), PAIR):
        pass
