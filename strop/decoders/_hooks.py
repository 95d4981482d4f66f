"""Hooks that several decoders use."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from strop.decoders import Rows, Steered
from strop.keys import Key


class Distributions:
    """A hook that changes nothing and notes of every distribution its entropy and its self-certainty.

    For one call of the sampler, in which every sample has a seed of its own; `of` gives means over a completion.
    """

    layer = None

    def __init__(self) -> None:
        self.notes: dict[int, list[tuple[float, float]]] = {}

    def states(self, states: Tensor, ids: Tensor, drawn: Tensor) -> Tensor:
        return states

    def begin(self, rows: Rows) -> Steered:
        seeds = [int(seed) for seed in rows.seed]
        self.notes.update({seed: [] for seed in seeds})
        return _Noting(self.notes, seeds)

    def of(self, seed: int, length: int) -> tuple[float, float]:
        """Mean entropy (nats) and mean self-certainty of the first `length` tokens of the sample with this seed."""
        entropy, certainty = np.array(self.notes[seed][:length]).mean(axis=0).tolist()
        return entropy, certainty


@dataclass(eq=False)
class _Noting:
    notes: dict[int, list[tuple[float, float]]]
    seeds: list[int]

    def logits(self, logits: Float[Tensor, "N V"], drawn: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
        both = torch.stack([entropy(logits), self_certainty(logits)], dim=1).tolist()
        for seed, pair in zip(self.seeds, both, strict=True):
            self.notes[seed].append((pair[0], pair[1]))
        return logits

    def keep(self, rows: Int[Tensor, " M"]) -> None:
        self.seeds = [self.seeds[row] for row in rows.tolist()]


def entropy(logits: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """Of each row's distribution, nats; a token that cannot be drawn adds nothing.

    >>> round(float(entropy(torch.tensor([[1.0, 1.0, -torch.inf]]))), 4)
    0.6931
    """
    logp = logits.float().log_softmax(-1)
    return -(logp.exp() * logp.clamp_min(-1e30)).sum(-1)


def self_certainty(logits: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """The divergence from the uniform distribution over V tokens to each row's, nats: -mean_j log(V p_j).

    >>> round(float(self_certainty(torch.tensor([[0.75, 0.25]]).log())), 4)
    0.1438
    """
    logp = logits.float().log_softmax(-1)
    return -(logp.mean(-1) + math.log(logits.shape[-1]))


@dataclass(frozen=True, eq=False)
class Suppression:
    """A hook that forbids some tokens, at each step with a probability of each sample's own.

    Whether token t of a sample is concerned is hashed from (its seed, t), like the draw itself.
    """

    tokens: tuple[int, ...]
    """Which ids."""
    probability: Mapping[int, float]
    """Of each sample, by its seed."""
    layer: int | None = field(default=None, init=False)

    def states(self, states: Tensor, ids: Tensor, drawn: Tensor) -> Tensor:
        return states

    def begin(self, rows: Rows) -> Steered:
        seeds = [int(seed) for seed in rows.seed]
        return _Suppressing(self.tokens, [self.probability[seed] for seed in seeds], seeds)


@dataclass(eq=False)
class _Suppressing:
    tokens: tuple[int, ...]
    chance: list[float]
    seeds: list[int]

    def logits(self, logits: Float[Tensor, "N V"], drawn: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
        struck = [hit(seed, drawn.shape[1], p) for seed, p in zip(self.seeds, self.chance, strict=True)]
        if not any(struck) or not self.tokens:
            return logits
        forbidden: Bool[Tensor, " V"] = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        forbidden[list(self.tokens)] = True
        rows = torch.tensor(struck, device=logits.device)
        return logits.masked_fill(rows[:, None] & forbidden, -torch.inf)

    def keep(self, rows: Int[Tensor, " M"]) -> None:
        kept = rows.tolist()
        self.chance, self.seeds = [self.chance[r] for r in kept], [self.seeds[r] for r in kept]


def hit(seed: int, position: int, probability: float) -> bool:
    """Whether this token of a sample is concerned.

    >>> hit(5, 0, 0.0), hit(5, 0, 1.0), sum(hit(5, t, 0.25) for t in range(1000)) // 50
    (False, True, 4)
    """
    if probability <= 0 or probability >= 1:
        return probability >= 1
    return Key.root(seed).fold("suppress", position).random().random() < probability


@dataclass(frozen=True, eq=False)
class Push:
    """A hook that adds a vector to a layer's states wherever some tokens are drawn; it needs no memory of rows."""

    layer: int | None
    push: Float[np.ndarray, " H"]
    tokens: tuple[int, ...]

    def states(self, states: Float[Tensor, "N S H"], ids: Int[Tensor, "N S"], drawn: Bool[Tensor, "N S"]) -> Tensor:
        here = drawn & torch.isin(ids, torch.tensor(self.tokens, dtype=ids.dtype, device=ids.device))
        return states + here[..., None] * torch.as_tensor(self.push, dtype=states.dtype, device=states.device)

    def begin(self, rows: Rows) -> Steered:
        return self

    def logits(self, logits: Float[Tensor, "N V"], drawn: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
        return logits

    def keep(self, rows: Int[Tensor, " M"]) -> None: ...
