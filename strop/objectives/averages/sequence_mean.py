"""Every sequence counts the same."""

import torch

from strop.piece import piece
from strop.records import Batch, Float


@piece
class SequenceMean:
    r"""Mean over the tokens of each sequence, then mean over all sequences of the optimiser batch.

    .. math:: \frac{1}{N} \sum_i \frac{1}{T_i} \sum_t \ell_{i,t}

    A token of a long response weighs less than one of a short response; a loss that is the same on all tokens of a
    row (preference pairs, sequence-level ratios) becomes the mean over rows. Source: GRPO (arXiv:2402.03300, eq. 3).

    >>> from strop.records import Counts
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=mask.float(), old_logp=mask.float(),
    ...     reward=torch.ones(2), group=torch.arange(2), counts=Counts(tokens=3, sequences=2, groups=2))
    >>> SequenceMean()(torch.tensor([[1.0, 2.0], [6.0, 99.0]]), batch)
    tensor(3.7500)
    """

    def __call__(self, losses: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, ""]:
        sums = torch.where(batch.mask, losses, 0.0).sum(dim=1)
        means = sums / batch.mask.sum(dim=1).clamp(min=1)
        # a row may be one of several that an attempt was written in
        means = means if batch.share is None else means * batch.share
        return means.sum() / max(batch.counts.sequences, 1)
