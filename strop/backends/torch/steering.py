"""How the hook of a request reaches the layers and the logits of a model."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from strop.backends.torch.jobs import Jobs
from strop.decoders import Hook, Rows, Steered
from strop.errors import BackendError


class Steering:
    """A hook at work on rows that are drawn in step, in one call of the sampler.

    The net is the sampler's own set of modules, made for the call, so what is registered on it reaches nobody else.
    """

    def __init__(self, hook: Hook, net: PreTrainedModel) -> None:
        self.hook = hook
        self.first_drawn = 0
        """First of the columns that the net reads which holds a drawn token."""
        self._ids: Tensor | None = None
        self._steered: Steered | None = None
        if hook.layer is not None:
            net.get_input_embeddings().register_forward_pre_hook(self._read)
            layers(net, hook.layer)[hook.layer].register_forward_hook(self._change)

    def begin(self, jobs: Jobs, which: Int[np.ndarray, " N"]) -> None:
        """These jobs are drawn next, one row for each."""
        prompts = tuple(jobs.prompts[request] for request in jobs.request[which])
        self._steered = self.hook.begin(Rows(prompts, jobs.request[which], jobs.sample[which], jobs.seed[which]))

    def logits(self, logits: Float[Tensor, "N V"], drawn: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
        assert self._steered is not None
        return self._steered.logits(logits, drawn)

    def keep(self, rows: Int[Tensor, " M"]) -> None:
        """The hook hears of it only while rows are left."""
        assert self._steered is not None
        if len(rows):
            self._steered.keep(rows)

    def _read(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._ids = given[0]

    def _change(self, _: nn.Module, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        assert self._ids is not None
        ids = self._ids
        column = torch.arange(ids.shape[1], device=ids.device)
        drawn = (column >= self.first_drawn).expand(ids.shape)
        # transformers' layers give their states alone or first in a tuple
        if isinstance(out, tuple):
            return (self.hook.states(out[0], ids, drawn), *out[1:])
        return self.hook.states(out, ids, drawn)


def layers(net: PreTrainedModel, index: int) -> nn.ModuleList:
    """The model's layers, found as the list of modules that is as long as its configuration says."""
    count = int(net.config.get_text_config().num_hidden_layers)
    if not 0 <= index < count:
        raise BackendError(f"The model has the layers 0 to {count - 1}, and a decoder asks for layer {index}.")
    found = [m for m in net.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not found:
        raise BackendError(f"The layers of a {type(net).__name__} were not found, so its states cannot be changed.")
    return found[0]
