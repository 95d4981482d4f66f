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

    Prompts go through torch's own fused kernel, a decoding step (S = 1) through `one_token`.
    """
    if attention_mask is None:
        raise Unsupported("no mask was passed")
    if asked := [name for name in _UNSUPPORTED if extras.get(name) is not None]:
        raise Unsupported(", ".join(asked))
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    if query.shape[2] > 1:
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask.to(query.dtype),
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return mixed.transpose(1, 2), None
    return one_token(query[:, :, 0] * scale, key, value, attention_mask[:, 0]).to(query.dtype)[:, None], None


def one_token(
    query: Float[Tensor, "N Q D"],
    key: Float[Tensor, "N K C D"],
    value: Float[Tensor, "N K C D"],
    mask: Float[Tensor, "N 1 C"],
) -> Float[Tensor, "N Q D"]:
    """Attention of one scaled query per head and row, in the cache's dtype.

    The Q/K query heads that share a key head are the rows of one matrix: two batched products over the cache as it
    lies, nothing repeated or copied.
    """
    rows, heads, size = query.shape
    shared, columns = key.shape[1:3]
    folded = query.to(key.dtype).reshape(rows * shared, heads // shared, size)
    scores = torch.bmm(folded, key.reshape(rows * shared, columns, size).transpose(1, 2))
    weights = scores.view(rows, heads, columns).float().add_(mask).softmax(-1).to(value.dtype)
    mixed = torch.bmm(weights.view(rows * shared, -1, columns), value.reshape(rows * shared, columns, -1))
    return mixed.view(rows, heads, -1)


AttentionInterface.register(NAME, attention)
