"""Quantised linear layers against torchao's own tensors, and 4-bit codes against arithmetic by hand."""

import pytest
import torch
from torch import nn

from strop.backends.torch.paths import path_of
from strop.backends.torch.shadow import shadow
from strop.errors import ConfigError
from strop.models import language_model, lora
from strop.models.dense import size, weight_bytes
from strop.models.quantise import QuantisedLinear, kind_of, quantise
from strop.recipe import LoRA

IDS = torch.tensor([[5, 6, 7, 20, 3, 3, 5]])


def logits(net):
    with torch.no_grad():
        return net(input_ids=IDS).logits


def test_four_bits_come_back():
    codes = torch.arange(-8, 8, dtype=torch.int8).repeat(3, 2)
    layer = QuantisedLinear(codes, torch.tensor([[1.0], [0.5], [2.0]]), None, "int4")
    assert layer.codes.shape == (3, 16)
    assert layer.codes.dtype == torch.uint8
    expected = torch.tensor([[scale * code for code in [*range(-8, 8)] * 2] for scale in (1.0, 0.5, 2.0)])
    assert torch.equal(layer.dense(), expected)
    with pytest.raises(ConfigError, match="even length"):
        QuantisedLinear(codes[:, :5], torch.ones(3, 1), None, "int4")


def test_a_scale_for_each_group():
    codes = torch.tensor([[1, 2, 3, 4], [-5, 6, -7, 8]], dtype=torch.int8)
    layer = QuantisedLinear(codes, torch.tensor([[1.0, 10.0], [0.5, 2.0]]), None, "int8")
    expected = torch.tensor([[1.0, 2.0, 30.0, 40.0], [-2.5, 3.0, -14.0, 16.0]])
    assert torch.equal(layer.dense(), expected)


def test_gradient_of_the_inputs():
    codes = torch.tensor([[1, 2], [-5, 6], [0, 3]], dtype=torch.int8)
    bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))
    layer = QuantisedLinear(codes, torch.tensor([[1.0], [0.5], [2.0]]), bias, "int8")
    given = torch.tensor([[1.0, -1.0], [2.0, 0.5]], requires_grad=True)
    made = layer(given)
    assert torch.equal(made, torch.tensor([[0.0, -5.5, -6.0], [4.0, -3.5, 3.0]]))
    slope = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    grad, grad_bias = torch.autograd.grad((made * slope).sum(), [given, bias])
    assert torch.equal(grad, torch.tensor([[1.0 - 5.0, 2.0 + 6.0], [0.0, 6.0]]))
    assert torch.equal(grad_bias, torch.tensor([1.0, 2.0, 1.0]))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_rounding_is_torchaos(kind, tiny_model):
    torchao = pytest.importorskip("torchao.quantization")
    theirs, mine = tiny_model("qwen2"), tiny_model("qwen2")
    for weight in theirs.net.parameters():
        weight.data = weight.data.to(torch.bfloat16).float()
    for weight in mine.net.parameters():
        weight.data = weight.data.to(torch.bfloat16).float()
    layers = theirs.net.model.layers
    if kind == "int8":
        torchao.quantize_(layers, torchao.Int8WeightOnlyConfig())
    else:
        # rows of 48 have no groups of 32
        def config(granularity):
            return torchao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=granularity)

        torchao.quantize_(layers, config(torchao.PerAxis(0)), lambda m, _: getattr(m, "in_features", 0) == 48)
        torchao.quantize_(layers, config(torchao.PerGroup(32)), lambda m, _: getattr(m, "in_features", 0) == 32)
    quantise(mine.net, kind)
    assert kind_of(mine.net) == kind
    assert sum(type(module) is QuantisedLinear for module in mine.net.modules()) == 2 * 7
    torch.testing.assert_close(logits(mine.net), logits(theirs.net), rtol=1e-5, atol=1e-5)
    assert (logits(mine.net) - logits(tiny_model("qwen2").net)).abs().max() > (1e-3 if kind == "int8" else 1e-2)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_memory_and_path(kind, tiny_model):
    pytest.importorskip("torchao")
    model = tiny_model(hidden_size=64, intermediate_size=128, vocab_size=60)
    full, count = weight_bytes(model.net), size(model.net)
    quantise(model.net, kind)
    # of one layer, rows and columns: q, k, v, o, gate, up, down
    shapes = [(32, 64), (16, 64), (16, 64), (64, 32), (128, 64), (128, 64), (64, 128)]
    weights = 2 * sum(rows * columns for rows, columns in shapes)
    scales = 2 * sum(rows for rows, _ in shapes) if kind == "int8" else weights // 32
    assert weight_bytes(model.net) == full - 4 * weights + weights // (1 if kind == "int8" else 2) + 4 * scales
    assert size(model.net) == count
    assert path_of(model.net) == "fused"
    twin = shadow(model.net, torch.float32)
    assert kind_of(twin) is None, "small models are run with plain layers"
    torch.testing.assert_close(logits(twin), logits(model.net), rtol=1e-5, atol=1e-5)


def test_codes_do_not_depend_on_the_precision_a_model_is_held_in(tiny_model, tmp_path):
    pytest.importorskip("torchao")
    language_model.save(tiny_model(), tmp_path)
    full, half = (language_model.load(tmp_path, held, quantised="int8") for held in ("fp32", "bf16"))
    pairs = zip(full.net.modules(), half.net.modules(), strict=True)
    compared = [torch.equal(a.codes, b.codes) for a, b in pairs if isinstance(a, QuantisedLinear)]
    assert len(compared) == 2 * 7
    assert all(compared)
    with pytest.raises(ConfigError, match=r"int8, int4.*int3"):
        language_model.load(tmp_path, quantised="int3")


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_an_adapter_over_quantised_weights_comes_back(kind, tiny_model, tmp_path):
    pytest.importorskip("torchao")
    pytest.importorskip("peft")
    language_model.save(tiny_model(), tmp_path / "base")
    model = language_model.load(tmp_path / "base")
    lora.adapt(model, LoRA(rank=4, quantise=kind), seed=0)
    weights = {name: weight for name, weight in model.net.named_parameters() if weight.requires_grad}
    assert len(weights) == 2 * 2 * 7
    for weight in weights.values():
        weight.data = weight.data + 0.1
    lora.save(model, weights, tmp_path / "adapter")
    again = language_model.load(tmp_path / "adapter")
    assert kind_of(again.net) is None
    torch.testing.assert_close(logits(again.net), logits(model.net), rtol=1e-4, atol=1e-4)
