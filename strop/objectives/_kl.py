"""Per-token estimators of KL(policy || reference) from the sampled token."""

from typing import Literal

import torch

from strop.records import Float

Estimator = Literal["k1", "k2", "k3"]


def kl_estimate(
    logp: Float[torch.Tensor, "N T"], ref_logp: Float[torch.Tensor, "N T"], kind: Estimator
) -> Float[torch.Tensor, "N T"]:
    """One number for each token, nats; with `d = logp - ref_logp`: `d`, `d²/2` or `exp(-d) - 1 + d`.

    On tokens of the policy k1 and k3 estimate the divergence without bias, k3 with less variance; k2 is biased. As a
    loss they differ: the expected gradient of k1 is zero, that of k2 is the gradient of KL(policy || reference), that
    of k3 is the gradient of KL(reference || policy). `-d` is clamped to ±20 before the exponential and k3 to ±10;
    beyond these bounds it has no gradient.

    >>> d = torch.log(torch.tensor([[0.5]])) - torch.log(torch.tensor([[0.25]]))
    >>> [round(kl_estimate(d, torch.zeros(1, 1), kind).item(), 4) for kind in ("k1", "k2", "k3")]
    [0.6931, 0.2402, 0.1931]
    """
    difference = logp - ref_logp
    if kind == "k1":
        return difference
    if kind == "k2":
        return difference.square() / 2
    bounded = (-difference).clamp(-20, 20)
    return (bounded.exp() - 1 - bounded).clamp(-10, 10)
