"""A second set of modules around a net's weights, for one purpose, so that the net itself is never touched."""

import copy

import torch
from torch import nn
from transformers import PreTrainedModel

from strop.models.dense import SMALL, plain, size
from strop.models.layercast import CAST, computes_in
from strop.models.quantise import QuantisedLinear


def shadow(net: PreTrainedModel, dtype: torch.dtype | None = None, attention: str | None = None) -> PreTrainedModel:
    """The same model in evaluation mode, without gradients, computing in `dtype` with another attention function.

    Weights that have the dtype already are shared (no memory, and later changes in place show through); others
    are converted now. Weights that layers convert themselves, quantised ones and those of LayerCast, are always shared;
    in small models adapters and quantised weights are merged into plain ones instead. Settings, hooks, training mode
    and attention function of `net` stay as they are.
    """
    weights = {id(weight): weight for weight in net.parameters()}
    quantised = [x for m in net.modules() if type(m) is QuantisedLinear for x in (m.codes, m.scale)]
    held = {id(weight) for m in net.modules() if type(m) in CAST for weight in m.parameters(recurse=False)}
    # what stands in the memo is taken over as it is instead of being copied
    twin = copy.deepcopy(net, weights | {id(x): x for x in quantised})
    converted = {
        key: nn.Parameter(
            weight.detach().to(
                dtype if dtype is not None and weight.is_floating_point() and key not in held else weight.dtype
            ),
            requires_grad=False,
        )
        for key, weight in weights.items()
    }
    for module in twin.modules():
        own = module._parameters  # pyright: ignore[reportPrivateUsage]
        for name, weight in own.items():
            if weight is not None:
                own[name] = converted[id(weight)]
    if size(net) <= SMALL:
        plain(twin, net, computes_in(net) if dtype is None else dtype)
    if attention is not None:
        twin.set_attn_implementation(attention)
    return twin.eval()
