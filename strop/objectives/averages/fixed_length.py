"""Every token counts the same, and no divisor depends on the sampled lengths."""

from typing import Annotated

import torch
from pydantic import Field

from strop.piece import piece
from strop.records import Batch, Float


@piece
class FixedLength:
    r"""Sum over the tokens of each sequence divided by a constant, then mean over all sequences.

    .. math:: \frac{1}{N L} \sum_i \sum_t \ell_{i,t}

    With `length=1` this is the mean over sequences of their token sums. Source: Dr. GRPO (arXiv:2503.20783,
    section 3.2), where the constant is the generation budget.

    >>> from strop.records import Counts
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=mask.float(), old_logp=mask.float(),
    ...     reward=torch.ones(2), group=torch.arange(2), counts=Counts(tokens=3, sequences=2, groups=2))
    >>> FixedLength(length=3)(torch.tensor([[1.0, 2.0], [6.0, 99.0]]), batch)
    tensor(1.5000)
    """

    length: Annotated[int, Field(ge=1)]
    """Tokens; the same through the whole run. It scales the learning rate."""

    def __call__(self, losses: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, ""]:
        return torch.where(batch.mask, losses, 0.0).sum() / (max(batch.counts.sequences, 1) * self.length)
