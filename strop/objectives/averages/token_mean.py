"""Every token counts the same."""

import torch

from strop.piece import piece
from strop.records import Batch, Float


@piece
class TokenMean:
    r"""Sum over all written tokens, divided by their number in the whole optimiser batch.

    .. math:: \frac{1}{\sum_i T_i} \sum_i \sum_t \ell_{i,t}

    Long responses weigh more than short ones. Source: DAPO (arXiv:2503.14476, eq. 10).

    >>> from strop.records import Counts
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=mask.float(), old_logp=mask.float(),
    ...     reward=torch.ones(2), group=torch.arange(2), counts=Counts(tokens=3, sequences=2, groups=2))
    >>> TokenMean()(torch.tensor([[1.0, 2.0], [6.0, 99.0]]), batch)
    tensor(3.)
    """

    def __call__(self, losses: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, ""]:
        return torch.where(batch.mask, losses, 0.0).sum() / max(batch.counts.tokens, 1)
