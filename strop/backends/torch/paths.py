"""Which path a model can take: found out by comparing, not by a list of architectures."""

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from strop.backends.torch.attention import NAME
from strop.backends.torch.cache import RowCache
from strop.backends.torch.continuous import Prefill, forward
from strop.backends.torch.fused import FusedStep
from strop.backends.torch.shadow import shadow
from strop.models.language_model import vocab_of
from strop.models.layercast import computes_in

_LENGTHS = (6, 4)
Step = Callable[[Tensor, Tensor, Tensor, RowCache], Tensor]


Path = Literal["fused", "continuous", "waves"]


def path_of(net: PreTrainedModel) -> Path:
    """The fastest path on which the model gives its own logits.

    Two prompts of unequal length and one more token go through the sampler's caches and attention function, with the
    model's own modules (`continuous`) and with `FusedStep` for the last token (`fused`). Models that declare sliding,
    chunked or recurrent layers take `waves` unseen: a short text does not show the difference.
    """
    config = net.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if any(kind != "full_attention" for kind in kinds or ()) or (not kinds and getattr(config, "sliding_window", None)):
        return "waves"
    vocab = vocab_of(net)
    texts = [np.random.Generator(np.random.Philox(key=n)).integers(0, vocab, size=n + 1) for n in _LENGTHS]
    with torch.inference_mode():
        plain, ours, fused = shadow(net), shadow(net, attention=NAME), FusedStep.of(net, computes_in(net))
        expected = torch.cat([plain(input_ids=torch.from_numpy(t[None]).to(net.device)).logits[0, -2:] for t in texts])
        if fused is not None and _agree(ours, fused, texts, expected):
            return "fused"
        return "continuous" if _agree(ours, functools.partial(forward, ours), texts, expected) else "waves"


def structure(net: PreTrainedModel) -> tuple[object, ...]:
    """What the path depends on: equal as long as no module was replaced, wrapped or hooked."""
    return tuple(
        (type(module), len(module._forward_hooks), len(module._forward_pre_hooks))  # pyright: ignore[reportPrivateUsage]
        for module in net.modules()
    )


def _agree(net: PreTrainedModel, step: Step, texts: list[np.ndarray], expected: Float[Tensor, "N V"]) -> bool:
    try:
        actual = _through_caches(net, step, texts)
    except Exception:
        # whatever a foreign forward pass raises when handed our mask, cache and attention means the same: no
        return False
    error = (actual - expected).float().abs().max()
    tolerance = 1e-3 if net.dtype == torch.float32 else 5e-2
    return actual.shape == expected.shape and bool(error <= tolerance * expected.float().abs().max())


def _through_caches(net: PreTrainedModel, step: Step, texts: list[np.ndarray]) -> Float[Tensor, "N V"]:
    """Logits of the last two positions of each text, text after text."""
    prefill = Prefill(net, [text[:-1] for text in texts])
    width, rows = prefill.width, len(texts)
    cache = RowCache(prefill.cache, rows, width, width + 1, prefill.cache.keys[0].dtype)
    cache.rows, cache.first = rows, 0
    every = torch.arange(rows, device=net.device)
    cache.write(every, prefill.cache, every)
    start = torch.from_numpy(width - prefill.lengths).to(net.device)[:, None]
    begun = torch.arange(width + 1, device=net.device) >= start
    mask = torch.zeros(begun.shape, device=net.device).masked_fill_(~begun, -torch.inf)
    ids = torch.tensor([[int(text[-1])] for text in texts], device=net.device)
    logits = step(ids, width - start, mask[:, None, None], cache)
    return torch.stack([prefill.logits, logits], dim=1).flatten(0, 1)
