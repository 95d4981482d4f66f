"""Weights of linear layers as 8- or 4-bit integers with a scale; products are taken in the input's precision.

The rounding is torchao's (`Int8WeightOnlyConfig`: one scale for each row; `IntxWeightOnlyConfig` with int4: one for
each 32 weights of a row; both symmetric). The integers are kept in plain buffers, 4-bit ones two to a byte: torchao's
own layout of them takes a byte for each. Embeddings and the output layer are left as they are.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from strop.errors import ConfigError

Quantised = Literal["int8", "int4"]
GROUP = 32
"""Weights that share a scale where they have 4 bits; a row, where its length is no multiple of it."""


class QuantisedLinear(nn.Module):
    """A linear layer whose weight does not learn."""

    codes: Tensor
    scale: Tensor

    def __init__(self, codes: Tensor, scale: Float[Tensor, "O G"], bias: nn.Parameter | None, kind: Quantised) -> None:
        """`codes` are integers from -128 to 127 or from -8 to 7, one for each weight."""
        super().__init__()
        self.out_features, self.in_features = codes.shape
        self.kind: Quantised = kind
        self.bias = bias
        self.register_buffer("codes", codes if kind == "int8" else _two_to_a_byte(codes), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)

    def dense(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "O I"]:
        """The weight that products are taken with."""
        codes = self.codes if self.kind == "int8" else _one_by_one(self.codes)
        groups = codes.view(self.out_features, self.scale.shape[1], -1)
        return (groups * self.scale[:, :, None]).view(self.out_features, -1).to(dtype)

    def forward(self, input: Float[Tensor, "... I"]) -> Float[Tensor, "... O"]:
        return _Product.apply(input, self, None if self.bias is None else self.bias.to(input.dtype))  # type: ignore[no-any-return]


def quantise(net: PreTrainedModel, kind: Quantised) -> None:
    """Quantise the linear layers of the decoder, in place; what an adapter adds is left as it is.

    Codes are made from the weights rounded to bf16, so they do not depend on the precision the model was loaded in.
    """
    check_kind(kind)
    head = net.get_output_embeddings()
    places = [
        (parent, name, module)
        for path, parent in net.named_modules()
        for name, module in parent.named_children()
        if type(module) is nn.Linear and module is not head and not path.split(".")[-1].startswith("lora_")
    ]
    for parent, name, module in places:
        setattr(parent, name, _quantised(module, kind).train(module.training))


def check_kind(kind: str) -> None:
    """Raise where `kind` is unknown, or what it needs is not installed."""
    if kind not in get_args(Quantised):
        raise ConfigError(f"quantise must be one of {', '.join(get_args(Quantised))}, got {kind!r}.")
    try:
        with quietly():
            import torchao.quantization  # noqa: F401  # pyright: ignore[reportUnusedImport, reportMissingImports]
    except ImportError:
        raise ConfigError('Quantised weights need torchao. Next: pip install "strop[quantise]"') from None


@contextmanager
def quietly() -> Generator[None, None, None]:
    """Within the block nothing is logged: when imported, torchao tells of each GPU library that it does not find."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def kind_of(net: nn.Module) -> Quantised | None:
    """What the net's linear layers are held as; None where they are plain."""
    found = (module for module in net.modules() if isinstance(module, QuantisedLinear))
    return next((module.kind for module in found), None)


def _quantised(linear: nn.Linear, kind: Quantised) -> QuantisedLinear:
    from torchao.quantization import (  # pyright: ignore[reportMissingImports]
        Int8WeightOnlyConfig,
        IntxWeightOnlyConfig,
        PerAxis,
        PerGroup,
        quantize_,
    )

    grouped = PerGroup(GROUP) if linear.in_features % GROUP == 0 else PerAxis(0)
    four: Any = getattr(torch, "int4")  # noqa: B009  torch's type stubs do not know it
    config: Any = (
        Int8WeightOnlyConfig() if kind == "int8" else IntxWeightOnlyConfig(weight_dtype=four, granularity=grouped)
    )
    # torchao changes the layers of a module, so it is given one around a copy of this layer
    copy = nn.Sequential(nn.Linear(linear.in_features, linear.out_features, bias=False, device="meta"))
    copy[0].weight = nn.Parameter(linear.weight.detach().to(torch.bfloat16).float(), requires_grad=False)
    quantize_(copy, config)
    made: Any = copy[0].weight
    bias: nn.Parameter | None = linear.bias
    return QuantisedLinear(made.qdata.detach(), made.scale.detach().view(len(made.qdata), -1), bias, kind)


def _two_to_a_byte(codes: Tensor) -> Tensor:
    if codes.shape[1] % 2:
        raise ConfigError(f"4-bit weights need rows of even length, got {codes.shape[1]}. Next: --quantise int8")
    low, high = codes.view(torch.uint8)[:, 0::2], codes.view(torch.uint8)[:, 1::2]
    return (low & 15) | (high << 4)


def _one_by_one(packed: Tensor) -> Tensor:
    both = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
    # the fourth bit is the sign
    return (both ^ 8).to(torch.int8) - 8


class _Product(torch.autograd.Function):
    """Autograd alone would keep the dense weight for the backward pass."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: QuantisedLinear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return F.linear(input, layer.dense(input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        bias = grad.reshape(-1, grad.shape[-1]).sum(dim=0) if ctx.needs_input_grad[2] else None
        return grad @ ctx.layer.dense(grad.dtype), None, bias
