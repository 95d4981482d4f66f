"""LayerCast against an fp32 model whose matrices were rounded to bf16."""

import dataclasses

import pytest
import torch
from torch import nn

from strop.backends.torch.logprobs import Scorer
from strop.backends.torch.paths import path_of
from strop.backends.torch.shadow import shadow
from strop.contracts._examples import random_batch
from strop.models import language_model
from strop.models.dense import weight_bytes
from strop.models.layercast import CastEmbedding, CastLinear, computes_in, layercast

KINDS = ["qwen3", "qwen2", "llama", "gemma2", "gpt2"]
IDS = torch.tensor([[5, 6, 7, 20, 3, 3, 5]])


def rounded(net):
    """The same in fp32, by hand: what is held in bf16 is rounded."""
    for module in net.modules():
        if type(module) in (nn.Linear, nn.Embedding):
            for weight in module.parameters(recurse=False):
                weight.data = weight.data.to(torch.bfloat16).float()
    return net


def logits(net):
    with torch.no_grad():
        return net(input_ids=IDS).logits


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
def test_it_computes_what_fp32_does_with_rounded_weights(kind, tiny_model):
    expected = logits(rounded(tiny_model(kind).net))
    net = tiny_model(kind).net
    exact = logits(net)
    layercast(net)
    torch.testing.assert_close(logits(net), expected, rtol=1e-6, atol=1e-6)
    assert logits(net).dtype == torch.float32
    assert (exact - expected).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_never_half_cast(kind, tiny_model):
    """Scaled embeddings and transposed layers are not plain: a weight they share stays in fp32."""
    net = tiny_model(kind).net
    exact = logits(net)
    layercast(net)
    torch.testing.assert_close(logits(net), exact, rtol=0, atol=0.2)
    casts = {id(w) for m in net.modules() if isinstance(m, (CastLinear, CastEmbedding)) for w in m.parameters(False)}
    for name, weight in net.named_parameters(remove_duplicate=False):
        assert (weight.dtype == torch.bfloat16) == (id(weight) in casts), name


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_memory_of_the_weights_halves(kind, tiny_model):
    net = tiny_model(kind).net
    full = weight_bytes(net)
    assert full == 4 * sum(weight.numel() for weight in net.parameters())
    layercast(net)
    assert 0.5 <= weight_bytes(net) / full < 0.52
    twin = shadow(net, torch.float32)
    shared = {weight.data_ptr() for weight in net.parameters()}
    assert {weight.data_ptr() for weight in twin.parameters()} == shared


@pytest.mark.parametrize("packed", [True, False])
def test_gradients_are_those_of_fp32(packed, tiny_model):
    given = dataclasses.replace(random_batch(12, members=4, vocab=56), ref_logp=None, teacher_logits=None)
    results = []
    for cast in (False, True):
        net = tiny_model().net
        layercast(net) if cast else rounded(net)
        scorer = Scorer(net)
        assert scorer.packs(given)
        if not packed:
            scorer.packed = None
        logp = scorer(given, ()).logp
        gradient = torch.autograd.grad((logp * given.advantage).sum(), list(net.parameters()))
        results.append([logp.detach(), *gradient])
    for theirs, mine in zip(*results, strict=True):
        # a gradient has the precision of its weight
        tolerance = 1e-5 if mine.dtype == torch.float32 else 2**-8
        torch.testing.assert_close(mine.float(), theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()))


def test_a_model_loads_so(tiny_model, tmp_path):
    language_model.save(tiny_model(), tmp_path)
    net = language_model.load(tmp_path, "layercast").net
    torch.testing.assert_close(logits(net), logits(rounded(tiny_model().net)), rtol=1e-6, atol=1e-6)
    assert computes_in(net) == torch.float32
    assert path_of(net) == "fused"
