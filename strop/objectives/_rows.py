"""What objectives that belong to a whole row or pair share."""

import torch

from strop.records import Batch, Float


def row_sums(values: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, " N"]:
    """The sum over the written tokens of each row."""
    return torch.where(batch.mask, values, 0.0).sum(dim=1)


def row_means(values: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, " N"]:
    """The mean over the written tokens of each row; 0 for a row without any."""
    return row_sums(values, batch) / batch.mask.sum(dim=1).clamp(min=1)


def spread(values: Float[torch.Tensor, " N"], batch: Batch) -> Float[torch.Tensor, "N T"]:
    """Per-token numbers whose mean over the batch's tokens is the mean of `values` over its rows; for logging."""
    weight = batch.counts.tokens / (max(batch.counts.sequences, 1) * batch.mask.sum(dim=1).clamp(min=1))
    weight = weight if batch.share is None else weight * batch.share
    return (values * weight)[:, None].expand(batch.mask.shape)
