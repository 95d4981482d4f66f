"""PPO's surrogate with a lower and an upper bound of their own."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from strop.objectives._kl import Estimator, kl_estimate
from strop.piece import piece
from strop.records import Batch, Float


@piece
class ClipHigher:
    r"""PPO's clipped surrogate for each token, with separate bounds and an optional KL penalty to a reference.

    .. math:: \ell_{i,t} = -\min\big(w A,\ \mathrm{clip}(w, 1 - \epsilon_l, 1 + \epsilon_h)\, A\big)
              + \beta\, \mathrm{kl}_{i,t}, \qquad w = \exp(\log\pi - \log\pi_{old})

    Source: DAPO (arXiv:2503.14476, eq. 10); equal bounds are PPO (arXiv:1707.06347, eq. 7), with `kl_coef` GRPO
    (arXiv:2402.03300, eq. 3); `kl_by_ratio` is the corrected estimate of DeepSeek-V3.2 (arXiv:2512.02556).

    Departures: the log-ratio is clamped to ±20 before the exponential, as published implementations do. GRPO puts k3
    into the loss; its expected gradient is that of KL(reference || policy), not that of its estimand. k2 gives
    the gradient of KL(policy || reference); k1 in a loss has an expected gradient of zero and is there for comparison.

    Logged:
      - `ratio/mean`: mean of w; 1 on policy.
      - `ratio/clipped_low`, `ratio/clipped_high`: share of tokens whose gradient a bound removes.
      - `kl`: k3 estimate of KL(policy || reference), nats per token, whatever estimator the loss uses.

    >>> from strop.records import Counts
    >>> ratio = torch.tensor([[1.1, 1.5, 0.5]])
    >>> mask = torch.ones(1, 3, dtype=torch.bool)
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=torch.tensor([[1.0, 1.0, -2.0]]),
    ...     old_logp=torch.zeros(1, 3), reward=torch.zeros(1), group=torch.zeros(1).long(), counts=Counts(3, 1, 1))
    >>> ClipHigher()(ratio.log(), batch)
    tensor([[-1.1000, -1.2800,  1.6000]])
    """

    low: Annotated[float, Field(ge=0)] = 0.2
    """How far the ratio may fall below 1; from 1 on it is never cut."""
    high: Annotated[float, Field(ge=0)] = 0.28
    """How far the ratio may rise above 1."""
    kl_coef: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL penalty; DAPO and Dr. GRPO 0, DeepSeekMath 0.04."""
    kl: Estimator = "k3"
    """Which estimator stands in the loss."""
    kl_by_ratio: bool = False
    """Multiply the estimate by w: then k3 has, on and off policy, the gradient of KL(policy || reference)."""

    whole_groups: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return ("ref_logp",) if self.kl_coef > 0 else ()

    @property
    def skips_zero_advantage(self) -> bool:
        return self.kl_coef == 0

    def __call__(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Float[torch.Tensor, "N T"]:
        ratio = (logp - batch.old_logp).clamp(-20, 20).exp()
        clipped = ratio.clamp(1 - self.low, 1 + self.high)
        loss = -torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
        if self.kl_coef > 0:
            assert batch.ref_logp is not None
            penalty = kl_estimate(logp, batch.ref_logp, self.kl)
            loss = loss + self.kl_coef * (ratio * penalty if self.kl_by_ratio else penalty)
        return loss

    def log(self, logp: Float[torch.Tensor, "N T"], batch: Batch) -> Mapping[str, Float[torch.Tensor, "N T"]]:
        ratio = (logp - batch.old_logp).clamp(-20, 20).exp()
        numbers = {
            "ratio/mean": ratio,
            "ratio/clipped_low": ((ratio < 1 - self.low) & (batch.advantage < 0)).to(logp.dtype),
            "ratio/clipped_high": ((ratio > 1 + self.high) & (batch.advantage > 0)).to(logp.dtype),
        }
        if batch.ref_logp is not None:
            numbers["kl"] = kl_estimate(logp, batch.ref_logp, "k3")
        return numbers
