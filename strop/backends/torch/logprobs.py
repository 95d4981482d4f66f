"""Log-probabilities of given responses without holding the logits of all their tokens at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from strop.backends.torch.training import PackedDecoder
from strop.batching import lengths
from strop.models.language_model import decoder_and_head
from strop.records import Batch

_CHUNK = 1 << 22
"""Logits that exist at once: 16 MB in fp32, about what a core's caches and a GPU's launch overhead both like."""
_KEEP = 1 << 26
"""Largest number of probabilities kept from the forward to the backward pass; above it they are computed again."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one forward pass says of a batch's responses; 0 where the batch's mask is False."""

    logp: Float[Tensor, "N T"]
    entropy: Float[Tensor, "N T"]
    """Of the next-token distribution, nats; without gradient."""
    logits: Float[Tensor, "N T V"] | None
    hidden: Float[Tensor, "N T H"] | None


class Scorer:
    """Runs a net over prompts and responses and reads off what an objective needs.

    Rows are padded on the right; a causal model never looks there, so no mask is made. Where `head(decoder(x))` are
    the model's logits, only positions that carry loss go through the head; where the model has the usual layout and
    rows are short, they are packed (`training.py`).
    """

    def __init__(self, net: PreTrainedModel) -> None:
        self.net = net
        self.packed = PackedDecoder.of(net)
        decoder, head = decoder_and_head(net) or (None, None)
        self.parts = (decoder, head) if decoder is not None and type(head) is nn.Linear else None

    def packs(self, batch: Batch, needs: tuple[str, ...]) -> bool:
        """Whether rows of one group share the work for their prompt."""
        return self.packed is not None and not {"logits", "hidden"} & set(needs) and self.packed.fits(batch)

    def __call__(self, batch: Batch, needs: tuple[str, ...]) -> Scored:
        if self.packed is not None and self.packs(batch, needs):
            states, rows, columns = self.packed.states(batch)
            logp, entropy = head_logp(states, self.packed.head_weight(), None, batch.tokens[rows, columns])
            return Scored(_placed(batch, rows, columns, logp), _placed(batch, rows, columns, entropy), None, None)
        inputs, starts = layout(batch)
        inputs, begin = inputs.to(batch.mask.device), torch.as_tensor(starts, device=batch.mask.device)
        rows, columns = batch.mask.nonzero(as_tuple=True)
        places, targets = begin[rows] + columns, batch.tokens[rows, columns]
        # positions past a row's end are read from its last one: they are padding there
        every = (begin[:, None] + torch.arange(batch.mask.shape[1], device=begin.device)).clamp(max=inputs.shape[1] - 1)
        if self.parts is not None:
            decoder, head = self.parts
            states = decoder(input_ids=inputs, use_cache=False)[0]
            logp, entropy = head_logp(states[rows, places], head.weight, head.bias, targets)
            logits = head(_at(states, every)) if "logits" in needs else None
            hidden = _at(states, every) if "hidden" in needs else None
        else:
            out = self.net(input_ids=inputs, use_cache=False, output_hidden_states="hidden" in needs)
            hidden = _at(out.hidden_states[-1], every) if "hidden" in needs else None
            spread = F.log_softmax(out.logits[rows, places].float(), dim=-1)
            logp = spread.gather(1, targets[:, None])[:, 0]
            entropy = -(spread.detach().exp() * spread.detach()).sum(dim=1)
            logits = _at(out.logits, every) if "logits" in needs else None
        return Scored(
            _placed(batch, rows, columns, logp),
            _placed(batch, rows, columns, entropy),
            None if logits is None else logits.float(),
            hidden,
        )


def layout(batch: Batch) -> tuple[Int[Tensor, "N L"], Int[np.ndarray, " N"]]:
    """Prompts followed by responses, without each row's last token, and the position that predicts its first one."""
    sizes = lengths(batch.mask).tolist()
    starts = np.array([len(prompt) - 1 for prompt in batch.prompts], dtype=np.int64)
    inputs = np.zeros((len(batch), int((starts + np.maximum(sizes, 1)).max(initial=0))), dtype=np.int64)
    tokens = batch.tokens.cpu().numpy()
    for row, (prompt, size) in enumerate(zip(batch.prompts, sizes, strict=True)):
        inputs[row, : len(prompt)] = prompt
        inputs[row, len(prompt) : len(prompt) + size - 1] = tokens[row, : max(size - 1, 0)]
    return torch.from_numpy(inputs), starts


def head_logp(
    states: Float[Tensor, "M H"],
    weight: Float[Tensor, "V H"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " M"],
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """The log-probability of one target for each state, and the entropy of its distribution."""
    return _HeadLogp.apply(states, weight, bias, targets)  # type: ignore[no-any-return]


def _placed(batch: Batch, rows: Tensor, columns: Tensor, values: Tensor) -> Float[Tensor, "N T"]:
    empty = torch.zeros(batch.mask.shape, dtype=torch.float32, device=batch.mask.device)
    return empty.index_put((rows, columns), values)


def _at(values: Float[Tensor, "N L D"], places: Int[Tensor, "N T"]) -> Float[Tensor, "N T D"]:
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[-1]))


class _HeadLogp(torch.autograd.Function):
    """`log_softmax(states @ weight.T + bias)` at one target per state, and the entropy, a chunk of rows at a time.

    The gradient of a target's log-probability with respect to the logits is `onehot - p`, so nothing but `p` is needed
    to go back: kept where it is small, computed again where the vocabulary is large.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Float[Tensor, "M H"],
        weight: Float[Tensor, "V H"],
        bias: Float[Tensor, " V"] | None,
        targets: Int[Tensor, " M"],
    ) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
        kept: list[Tensor] = []
        keep = any(ctx.needs_input_grad) and states.shape[0] * weight.shape[0] <= _KEEP
        logp = states.new_empty(states.shape[0], dtype=torch.float32)
        entropy = torch.empty_like(logp)
        for part in _chunks(states, weight):
            spread = F.linear(states[part], weight, bias).float().log_softmax(dim=-1)
            logp[part] = spread.gather(1, targets[part, None])[:, 0]
            probabilities = spread.exp()
            entropy[part] = -torch.linalg.vecdot(probabilities, spread)
            if keep:
                kept.append(probabilities.to(states.dtype))
        ctx.save_for_backward(states, weight, bias, targets, *kept)
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, targets, *kept = ctx.saved_tensors
        grad = grads[0]
        grad_states = torch.empty_like(states)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        for number, part in enumerate(_chunks(states, weight)):
            if kept:
                slope = kept[number]
            else:
                slope = F.linear(states[part], weight, bias).float().softmax(dim=-1).to(states.dtype)
            ours = -grad[part, None].to(states.dtype)
            slope = slope * ours
            slope.scatter_add_(1, targets[part, None], -ours)
            torch.matmul(slope, weight, out=grad_states[part])
            if grad_weight is not None:
                grad_weight += slope.T @ states[part]
            if grad_bias is not None:
                grad_bias += slope.sum(dim=0, dtype=torch.float32)
        return (
            grad_states,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
        )


def _chunks(states: Float[Tensor, "M H"], weight: Float[Tensor, "V H"]) -> list[slice]:
    size = max(1, _CHUNK // weight.shape[0])
    return [slice(at, min(at + size, states.shape[0])) for at in range(0, states.shape[0], size)]
