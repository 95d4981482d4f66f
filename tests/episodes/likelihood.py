"""How likely a written token was, by one plain forward pass."""

import numpy as np
import torch


def likelihoods(model, row):
    """Log-probability of each token of a row after its prompt."""
    read = torch.from_numpy(np.concatenate([row.prompt_tokens, row.tokens]))
    with torch.no_grad():
        spread = model.net(input_ids=read[None]).logits[0].log_softmax(-1)[len(row.prompt_tokens) - 1 : -1]
    return spread[torch.arange(len(row.tokens)), torch.from_numpy(row.tokens)].tolist()
