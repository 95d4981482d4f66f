"""How likely a model finds given tokens, as a place in its ranking of the whole vocabulary."""

import numpy as np
import torch
from jaxtyping import Int
from transformers import PreTrainedModel


def token_ranks(
    net: PreTrainedModel, prompt: Int[np.ndarray, " S"], tokens: Int[np.ndarray, " T"]
) -> Int[np.ndarray, " T"]:
    """The rank of each token among all next tokens after what stands before it: 0 where it is the most likely one."""
    ids = torch.from_numpy(np.concatenate([prompt, tokens]).astype(np.int64)).to(net.device)[None]
    with torch.no_grad():
        logits = net(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    own = logits.gather(1, ids[0, len(prompt) :, None])
    return (logits > own).sum(dim=1).cpu().numpy()
