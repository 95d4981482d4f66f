"""Parts of a decoder with forward and backward passes written out: fewer passes over memory than autograd makes."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CausalAttention(torch.autograd.Function):
    """Softmax attention of whole rows, every token looking at those before it and at itself.

    Query heads that share a key head are the rows of one matrix, so nothing is repeated; all rows share one triangular
    mask, which the product adds on its way. On a CPU, rows of a few hundred tokens take a third of the time of torch's
    fused kernel.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "N Q L D"],
        key: Float[Tensor, "N K L D"],
        value: Float[Tensor, "N K L D"],
        scale: float,
    ) -> Float[Tensor, "N L Q D"]:
        rows, heads, length, size = query.shape
        shared = key.shape[1]
        q = query.reshape(rows * shared, -1, size)
        k, v = (x.reshape(rows * shared, length, size) for x in (key, value))
        mask = _triangle(length, heads // shared, q.dtype, q.device).expand(rows * shared, -1, -1)
        weights = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shape = scale, (rows, heads, length, size)
        return torch.bmm(weights, v).view(rows, heads, length, size).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        rows, heads, length, size = ctx.shape
        grad = grads[0].transpose(1, 2).reshape(q.shape)
        slope = torch._softmax_backward_data(torch.bmm(grad, v.transpose(1, 2)), weights, -1, weights.dtype)
        empty = k.new_zeros(())
        grad_q = torch.baddbmm(empty, slope, k, beta=0, alpha=ctx.scale)
        grad_k = torch.baddbmm(empty, slope.transpose(1, 2), q, beta=0, alpha=ctx.scale)
        grad_v = torch.bmm(weights.transpose(1, 2), grad)
        shape = (rows, -1, length, size)
        return grad_q.view(rows, heads, length, size), grad_k.view(shape), grad_v.view(shape), None


@functools.lru_cache(maxsize=8)
def _triangle(length: int, repeats: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "1 R L"]:
    mask = torch.full((length, length), -torch.inf, dtype=dtype, device=device).triu(1)
    return mask.repeat(repeats, 1)[None]


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a weight, computed in fp32 and rounded where transformers' modules round."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps

    def forward(self, hidden_states: Float[Tensor, "*rows H"]) -> Float[Tensor, "*rows H"]:
        return _Normalise.apply(hidden_states, self.weight, self.eps)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Float[Tensor, "*rows H"], weight: Float[Tensor, " H"], eps: float
    ) -> Float[Tensor, "*rows H"]:
        wide = states.float() if states.dtype != torch.float32 else states.clone()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = norm.square_().div_(wide.shape[-1]).add_(eps).rsqrt_()
        unit = wide.mul_(inverse).to(states.dtype)
        ctx.save_for_backward(unit, weight, inverse)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        unit, weight, inverse = ctx.saved_tensors
        grad, size = grads[0].contiguous(), unit.shape[-1]
        along = grad * unit
        grad_weight = along.view(-1, size).sum(dim=0) if ctx.needs_input_grad[1] else None
        # the part of the gradient along the state itself changes its length, which normalising takes away again
        share = along.matmul(weight[:, None]).div_(-size)
        grad_states = torch.addcmul(grad.mul(weight), unit, share).mul_(inverse.to(unit.dtype))
        return grad_states, grad_weight, None
