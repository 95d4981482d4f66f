"""Likelihood up on the chosen response, down on the rejected one, not equally hard."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from strop.objectives._rows import row_means, spread
from strop.objectives.preference._pairs import pairs
from strop.piece import piece
from strop.records import Batch, Float


@piece
class AsymmetricLikelihood:
    r"""Raises the mean log-probability of the chosen response and lowers that of the rejected one, scaled by alpha.

    .. math:: \frac{1}{P} \sum \Big[-s(y_w) + \alpha\, \mathrm{sg}[e^{\gamma s(y_l)}]\, s(y_l)\Big]

    `s` is the mean log-probability of a response's tokens. A pair is two rows of one group; the chosen row is the one
    with the higher reward. No reference and no bound: where rejected responses are pushed too hard, chosen ones fall
    with them, which alpha below 1 counters. Rows of groups that are no pair, and pairs of equal reward, have loss 0.

    Source: REDI (arXiv:2505.24850, the second stage; code Tim-Siu/reinforcement-distillation). Use with `SequenceMean`:
    token
    losses are doubled, so that its mean over both rows of each pair is the paper's mean over pairs.

    Departures: the weight of a rejected response (`gamma`, off by default) is held constant, as the paper has it; the
    code lets the gradient through it, which turns that of unlikely responses round.

    Logged:
      - `score/chosen`, `score/rejected`: mean over pairs of s, nats per token. Stop where `score/chosen` keeps falling.

    >>> from strop.records import Counts
    >>> mask = torch.ones(2, 1, dtype=torch.bool)
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=mask.float(), old_logp=torch.zeros(2, 1),
    ...     reward=torch.tensor([1.0, 0.0]), group=torch.zeros(2).long(), counts=Counts(2, 2, 1))
    >>> AsymmetricLikelihood(alpha=0.8)(torch.tensor([[-1.0], [-2.0]]), batch)  # mean 1.0 - 0.8 * 2.0
    tensor([[ 2.0000],
            [-3.2000]])
    """

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.8
    """How hard rejected responses are pushed down: 0 is cross-entropy on the chosen ones, 1 is symmetric."""
    gamma: Annotated[float, Field(ge=0)] = 0.0
    """Makes rejected responses count less the less likely they are; 0 lets all count alike."""

    needs: ClassVar[tuple[str, ...]] = ()
    averages: ClassVar[tuple[str, ...]] = ("sequence_mean",)
    whole_groups: ClassVar[bool] = True
    skips_zero_advantage: ClassVar[bool] = False

    def __call__(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, "N T"]:
        paired = pairs(batch)
        fading = (self.gamma * row_means(logp.detach(), batch)).exp()
        slope = torch.where(paired.rejected, self.alpha * fading, 0.0) - paired.chosen.to(logp.dtype)
        return 2 * slope[:, None] * logp

    def log(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Mapping[str, Float[torch.Tensor, "N T"]]:
        paired, scores = pairs(batch), row_means(logp, batch)
        return {
            "score/chosen": spread(2 * torch.where(paired.chosen, scores, 0.0), batch),
            "score/rejected": spread(2 * torch.where(paired.rejected, scores, 0.0), batch),
        }
