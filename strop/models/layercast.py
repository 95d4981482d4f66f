"""LayerCast: weights held in bf16, everything computed in fp32.

Each weight is converted just before its product and forgotten after it, in the backward pass once more, so the model
computes what an fp32 model with bf16-rounded weights does, at half its memory.

Source: arXiv:2506.09501, section 5. Departures: embeddings are held in bf16 too (they are often the output layer's own
weight); norms keep the precision they were loaded in, as they are small.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

HELD = torch.bfloat16


class CastLinear(nn.Linear):
    """A linear layer whose weight and bias take the precision of its input, one call at a time."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)  # pyright: ignore[reportUnnecessaryComparison]
        return _CastProduct.apply(input, self.weight, bias)  # type: ignore[no-any-return]


class CastEmbedding(nn.Embedding):
    """An embedding held in bf16 that is read in fp32."""

    def forward(self, input: Tensor) -> Tensor:
        return _CastLookup.apply(input, self.weight)  # type: ignore[no-any-return]


CAST = (CastLinear, CastEmbedding)


def layercast(net: nn.Module) -> None:
    """Hold the linear layers' and embeddings' weights in bf16, all others in fp32. In place; the weights stay the same
    parameters, and an adapter's are left in fp32."""
    owners: dict[int, list[nn.Module]] = {}
    for name, module in net.named_modules():
        adapter = any(part.startswith("lora_") for part in name.split("."))
        for weight in module._parameters.values():  # pyright: ignore[reportPrivateUsage]
            if weight is not None:
                weight.data = weight.data.float() if weight.is_floating_point() else weight.data
                # a weight is only cast where everyone who uses it knows how to read it
                owners.setdefault(id(weight), []).append(nn.Identity() if adapter else module)
    plain = {key for key, users in owners.items() if all(type(user) in (nn.Linear, nn.Embedding) for user in users)}
    casts: dict[type, Any] = {nn.Linear: CastLinear, nn.Embedding: CastEmbedding}
    modules: list[Any] = list(net.modules())
    for module in modules:
        if type(module) in casts and id(module.weight) in plain:
            # the class alone: names, parameters and whoever holds the module stay as they are
            module.__class__ = casts[type(module)]
    for module in net.modules():
        if type(module) in CAST:
            for weight in module.parameters(recurse=False):
                weight.data = weight.data.to(HELD)


def is_cast(net: nn.Module) -> bool:
    """Whether some of its weights are held in another precision than it computes in."""
    return any(type(module) in CAST for module in net.modules())


def computes_in(net: nn.Module) -> torch.dtype:
    """The precision of a net's products."""
    return torch.float32 if is_cast(net) else next(net.parameters()).dtype


class _CastProduct(torch.autograd.Function):
    """`input @ weight.T + bias` in the input's precision; autograd alone would keep the converted weight."""

    @staticmethod
    def forward(
        ctx: Any, input: Float[Tensor, "... I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None
    ) -> Float[Tensor, "... O"]:
        ctx.save_for_backward(input if ctx.needs_input_grad[1] else None, weight)
        return F.linear(input, weight.to(input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        grad = grads[0]
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            grad @ weight.to(grad.dtype) if ctx.needs_input_grad[0] else None,
            (rows.T @ input.reshape(-1, input.shape[-1])).to(weight.dtype) if ctx.needs_input_grad[1] else None,
            rows.sum(dim=0) if ctx.needs_input_grad[2] else None,
        )


class _CastLookup(torch.autograd.Function):
    """Rows of an embedding in fp32; their gradients are added up in fp32 before they are rounded."""

    @staticmethod
    def forward(ctx: Any, ids: Int[Tensor, "..."], weight: Float[Tensor, "V H"]) -> Float[Tensor, "... H"]:
        ctx.save_for_backward(ids)
        ctx.vocabulary, ctx.dtype = weight.shape[0], weight.dtype
        return F.embedding(ids, weight).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (ids,) = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return None, None
        grad = torch.ops.aten.embedding_dense_backward(grads[0], ids, ctx.vocabulary, -1, False)
        return None, grad.to(ctx.dtype)
