"""The likelihood of given responses."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from strop.piece import piece
from strop.records import Batch, Float


@piece
class CrossEntropy:
    r"""Negative log-likelihood of each given token.

    .. math:: \ell_{i,t} = -\log \pi(y_{i,t} \mid x_i, y_{i,<t})

    Source: the standard supervised loss. With `TokenMean` a long response weighs more than a short one, with
    `SequenceMean` every response weighs the same. Advantages are ignored.

    Logged:
      - `nll`: mean over the tokens, nats, whatever the average; its exponential is the perplexity.

    >>> from strop.records import Counts
    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=torch.ones(1, 2), old_logp=torch.zeros(1, 2),
    ...     reward=torch.zeros(1), group=torch.zeros(1).long(), counts=Counts(2, 1, 1))
    >>> CrossEntropy()(torch.tensor([[0.5, 0.25]]).log(), batch)
    tensor([[0.6931, 1.3863]])
    """

    needs: ClassVar[tuple[str, ...]] = ()
    whole_groups: ClassVar[bool] = False
    skips_zero_advantage: ClassVar[bool] = False

    def __call__(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, "N T"]:
        return -logp

    def log(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Mapping[str, Float[torch.Tensor, "N T"]]:
        return {"nll": -logp}
