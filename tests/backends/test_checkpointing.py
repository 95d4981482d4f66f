"""Gradient checkpointing: the same gradient, every layer run twice, less kept in between."""

import gc

import pytest
import torch
from learner_loops import random_batch
from test_learner_lora import adapted, gradient
from transformers.modeling_layers import GradientCheckpointingLayer

from strop.backends.torch import layers
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.logprobs import Scorer
from strop.errors import ConfigError
from strop.models.layercast import layercast

KINDS = ["qwen3", "qwen2", "llama", "gemma2", "gpt2"]


def both(make, modules, batch):
    found = []
    for checkpointing in (False, True):
        learner = TorchLearner(make(), checkpointing=checkpointing)
        if modules:
            learner.scorer.packed = None
        found.append(gradient(learner, batch))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modules", [False, True])
def test_the_gradient_is_the_same(kind, modules, tiny_model):
    expected, actual = both(lambda: tiny_model(kind), modules, random_batch())
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=0, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float(value.abs().max()) for value in expected.values()) > 0.01


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_under_an_adapter(dropout, tiny_model):
    pytest.importorskip("peft")
    expected, actual = both(lambda: adapted(tiny_model(), dropout=dropout), True, random_batch())
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=0)


def test_each_layer_runs_twice(tiny_model, monkeypatch):
    batch = random_batch()
    runs = []
    original = layers._forward
    monkeypatch.setattr(layers, "_forward", lambda *given: runs.append(1) or original(*given))
    net = tiny_model().net
    for checkpointing, expected in ((False, 2), (True, 4)):
        runs.clear()
        Scorer(net, checkpointing)(batch, ()).logp.sum().backward()
        # two more where the packed path is compared with the modules
        assert len(runs) == expected + 2

    scorer = Scorer(net, True)
    scorer.packed = None
    passes = []
    for layer in net.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    logp = scorer(batch, ()).logp
    assert len(passes) == 2
    logp.sum().backward()
    assert len(passes) == 4
    with torch.no_grad():
        scorer(batch, ())
    assert len(passes) == 6
    assert not any(m.gradient_checkpointing for m in net.modules() if isinstance(m, GradientCheckpointingLayer))
    assert not any(m.training for m in net.modules())


@pytest.mark.parametrize("modules", [False, True])
def test_less_is_kept(modules, tiny_model):
    """Bytes that the forward pass leaves behind for each layer more: only its input."""

    def kept(count, checkpointing):
        net = tiny_model(num_hidden_layers=count, layer_types=None).net
        scorer = Scorer(net, checkpointing)
        if modules:
            scorer.packed = None
        gc.collect()
        before = _held()
        logp = scorer(random_batch(), ()).logp
        assert logp.requires_grad
        return _held() - before

    plain, less = (kept(6, checkpointing) - kept(2, checkpointing) for checkpointing in (False, True))
    assert less < plain / (3 if modules else 2)


def _held():
    """Bytes of all tensors there are."""
    gc.collect()
    storages = {}
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor):
            storages[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(storages.values())


def test_models_that_cannot_say_so(tiny_model, monkeypatch):
    net = tiny_model().net
    monkeypatch.setattr("strop.backends.torch.training.GradientCheckpointingLayer", layers.Shape)
    scorer = Scorer(net, True)
    scorer.packed = None
    with pytest.raises(ConfigError, match="gradient_checkpointing"):
        scorer(random_batch(), ())


def test_with_layercast(tiny_model):
    def made():
        model = tiny_model()
        layercast(model.net)
        return model

    for modules in (False, True):
        expected, actual = both(made, modules, random_batch())
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, rtol=0, atol=0)
