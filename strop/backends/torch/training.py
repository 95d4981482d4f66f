"""The modules a learner runs: the model's own weights, with parts that are faster to train."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

from strop.backends.torch.kernels import CausalAttention, RMSNorm

NAME = "strop_learner"
_LONGEST = 512
"""Rows above this length go through torch's fused kernel, whose memory does not grow with the square of it."""


def training_net(net: PreTrainedModel) -> PreTrainedModel:
    """The same model around the same parameters, or `net` itself where the faster parts do not give its logits.

    Changes of the parameters' values show in both. Nothing of `net` is changed, and no class of transformers.
    """
    config = net.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if any(kind != "full_attention" for kind in kinds or ()) or (not kinds and getattr(config, "sliding_window", None)):
        return net  # a short text does not show the difference, so it cannot be found out by comparing
    # parameters in the memo are taken over as they are instead of being copied
    twin = copy.deepcopy(net, {id(weight): weight for weight in net.parameters()}).eval()
    for name, module in list(twin.named_modules()):
        if (fast := _fast_norm(module)) is not None:
            twin.set_submodule(name, fast)
    if net.device.type == "cpu":
        twin.set_attn_implementation(NAME)
    return twin if _same_logits(twin, net) else net


def _attention(
    module: nn.Module,
    query: Float[Tensor, "N Q L D"],
    key: Float[Tensor, "N K L D"],
    value: Float[Tensor, "N K L D"],
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **extras: Any,
) -> tuple[Float[Tensor, "N L Q D"], None]:
    """Causal attention in the signature that transformers' attention interface prescribes."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.shape[2] <= _LONGEST:
        return CausalAttention.apply(query, key, value, scale), None
    grouped = key.shape[1] != query.shape[1]
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)
    return mixed.transpose(1, 2), None


AttentionInterface.register(NAME, _attention)


def _fast_norm(module: nn.Module) -> RMSNorm | None:
    """The module's replacement, where it is a root-mean-square norm as most models define it."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim != 1 or not isinstance(eps, float):
        return None
    fast = RMSNorm(weight, eps)
    example = torch.linspace(-2, 3, 2 * weight.numel(), device=weight.device, dtype=weight.dtype).view(2, -1)
    with torch.no_grad():
        same = torch.allclose(fast(example), module(example), rtol=1e-2 if weight.dtype == torch.bfloat16 else 1e-5)
    return fast if same else None


def _same_logits(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    tokens = torch.arange(24, device=other.device).view(2, 12) % other.get_input_embeddings().weight.shape[0]
    with torch.no_grad():
        try:
            actual = one(input_ids=tokens, use_cache=False).logits.float()
        except Exception:
            # whatever a foreign forward pass raises when handed other parts means the same: they do not fit
            return False
        expected = other(input_ids=tokens, use_cache=False).logits.float()
    tolerance = 1e-3 if other.dtype == torch.float32 else 5e-2
    return bool((actual - expected).abs().max() <= tolerance * expected.abs().max())
