"""The attention function the sampler registers with transformers, and the check that a model can use it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "strop_sampler"
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias", "head_mask", "cache", "block_table")


class Unsupported(Exception):
    """The model asks its attention for something that the function here does not compute."""


def attention(
    module: nn.Module,
    query: Float[Tensor, "N Q S D"],
    key: Float[Tensor, "N K C D"],
    value: Float[Tensor, "N K C D"],
    attention_mask: Float[Tensor, "N 1 S C"] | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **extras: object,
) -> tuple[Float[Tensor, "N S Q D"], None]:
    """Softmax attention with grouped queries, in the signature that transformers' attention interface prescribes.

    A decoding step (S = 1) treats the Q/K query heads that share a key head as the rows of one matrix: two batched
    products over the cache as it lies, nothing repeated or copied. Prompts go through torch's own fused kernel.
    """
    if attention_mask is None:
        raise Unsupported("no mask was passed")
    if asked := [name for name in _UNSUPPORTED if extras.get(name) is not None]:
        raise Unsupported(", ".join(asked))
    rows, heads, steps, size = query.shape
    shared, columns = key.shape[1:3]
    scale = size**-0.5 if scaling is None else scaling
    if steps > 1:
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask.to(query.dtype), scale=scale, enable_gqa=heads != shared
        )
        return mixed.transpose(1, 2), None
    folded = (query * scale).to(key.dtype).reshape(rows * shared, heads // shared, size)
    scores = torch.bmm(folded, key.reshape(rows * shared, columns, size).transpose(1, 2))
    weights = scores.view(rows, heads, columns).float().add_(attention_mask[:, 0]).softmax(-1).to(value.dtype)
    mixed = torch.bmm(weights.view(rows * shared, -1, columns), value.reshape(rows * shared, columns, -1))
    return mixed.view(rows, 1, heads, -1).to(query.dtype), None


AttentionInterface.register(NAME, attention)
