"""What the learner keeps of each token for the backward pass: counted on small models of the same architecture."""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.models.shapes import random_net

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

    from strop.backends.torch.logprobs import Scorer

_TOKENS = (32, 96, 160)
"""Lengths of a row that tell what belongs to the weights from what each token and each pair of tokens adds."""


def kept(config: "PreTrainedConfig", dtype: "torch.dtype", checkpointing: bool, length: int) -> tuple[float, float]:
    """Bytes per token of one layer, and of all that is outside the layers but the vocabulary, in rows of this length.

    The learner's own forward pass is run on random weights, with one and with two layers, and what is still there
    after it is added up: so it is what this version does, whatever the architecture. That grows in proportion to the
    widths, so narrower models of the same form tell it. Where attention keeps its scores, which it does for short rows,
    it also grows with the length of the row and the number of heads.
    """
    key = (config.to_json_string(use_diff=False), dtype, checkpointing, length)
    if key not in _COUNTED:
        narrow, factor = _narrow(config)
        one, two = (_per_token(_with_layers(narrow, layers), dtype, checkpointing, length, factor) for layers in (1, 2))
        _COUNTED[key] = two - one, max(0.0, 2 * one - two)
    return _COUNTED[key]


_COUNTED: dict[tuple[str, "torch.dtype", bool, int], tuple[float, float]] = {}
"""A configuration cannot be hashed; its text can."""


def _narrow(config: "PreTrainedConfig") -> tuple[Any, int]:
    """All widths divided by one number, and that number; as many heads as before."""
    small: Any = copy.deepcopy(config.get_text_config())
    widths = ["hidden_size", "intermediate_size"] + ["head_dim"] * bool(getattr(small, "head_dim", None))
    for factor in (8, 4, 2):
        head = getattr(small, "head_dim", None) or small.hidden_size // small.num_attention_heads
        # rotary embeddings pair up a head's numbers
        if head % (2 * factor) == 0 and all(getattr(small, name) % factor == 0 for name in widths):
            for name in widths:
                setattr(small, name, getattr(small, name) // factor)
            return small, factor
    return small, 1


def _with_layers(config: Any, layers: int) -> Any:
    small = copy.deepcopy(config)
    small.num_hidden_layers, small.vocab_size = layers, 64
    # some architectures say for each layer what kind it is
    for name in ("layer_types", "mlp_layer_types"):
        if getattr(small, name, None):
            setattr(small, name, list(getattr(small, name))[:layers])
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(small, name, None)
    return small


def _per_token(config: Any, dtype: "torch.dtype", checkpointing: bool, length: int, factor: int) -> float:
    from strop.backends.torch.logprobs import Scorer
    from strop.backends.torch.training import LONGEST

    scorer = Scorer(random_net(config, dtype), checkpointing)
    if length > LONGEST:
        # long rows go through the model's own modules
        scorer.packed = None
    held = np.array([_held(scorer, tokens) / 2 for tokens in _TOKENS])
    _, each, pair = np.linalg.solve(np.vander(_TOKENS, 3, increasing=True), held)
    return float(factor * each + pair * length)


def _held(scorer: "Scorer", tokens: int) -> int:
    """Bytes that a forward pass over two rows leaves behind for the backward pass."""
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode

    from strop.batching import count
    from strop.records import Batch

    mask = torch.ones(2, tokens, dtype=torch.bool)
    group, zeros = torch.arange(2), torch.zeros(2, tokens)
    batch = Batch(
        tokens=torch.zeros(2, tokens, dtype=torch.long), mask=mask, advantage=zeros, old_logp=zeros,
        reward=zeros[:, 0], group=group, prompts=(np.zeros(4, dtype=np.int64),) * 2, counts=count(mask, group),
    )  # fmt: skip
    made: dict[int, tuple[Any, int]] = {}

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()  # pyright: ignore[reportPrivateUsage]
            return result

    # the batch and the weights were there before
    with Watched():
        scored = scorer(batch, ())
    alive = sum(size for place, size in made.values() if not place.expired())
    del scored
    return alive
