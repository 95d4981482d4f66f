"""Two models answer together: their logits are mixed at every token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from strop.decoders import Cost, Drawn, Plain, Rows, Steered
from strop.decoders._chains import begin, grow, require_hooks
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler
from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class ModelMix:
    r"""Draws from between two models, or from beyond the trained one.

    .. math:: z = z_{ref} + w\,(z_{model} - z_{ref})

    at every token, so p is proportional to p_ref^(1-w) p_model^w: w = 0 is the reference, 1 the model, above 1
    extrapolates what training changed and below 0 undoes more than it. If training was for a reward R with a KL weight
    beta, w acts like a KL weight of beta / w: exactly for whole answers, by tokens only approximately, as no token
    looks ahead. The reference is the second model (`strop eval MODEL --reference OTHER`), with the same vocabulary.
    Attempts vote.

    Source: InRa of Flexible Realignment (arXiv:2506.12704, section 3.3), with its adapter stream as the model and the
    other as the reference; Reinforcement Learning Guidance (arXiv:2508.21016, section 3), here for language models.
    Departures: two whole models in place of one with a switched-off layer.

    >>> mixed(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.5]]), 2.0).tolist()
    [[3.0, -0.5]]
    """

    weight: float = 1.5
    """w, how far to go from the reference to the model; RLG tries 1 to 3, InRa also negative ones."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    plain_at_one: ClassVar[bool] = False

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        return winner(answers(attempts), [1.0] * len(attempts))

    def draw(
        self,
        problems: Sequence[Problem],
        *,
        sampler: Sampler,
        task: "Task",
        budget: int,
        episode: Plain,
        key: Key,
    ) -> Iterator[Drawn]:
        require_hooks(sampler, self)
        other: Any = sampler.teacher
        if other is None:
            raise ConfigError("model_mix needs a second model. Next: strop eval MODEL --reference OTHER")
        if other.tokenizer.vocabulary != sampler.tokenizer.vocabulary:
            raise ConfigError("model_mix needs two models with the same vocabulary, and these have different ones.")
        hook = _Second(other.model.net, self.weight, other.context)
        chains = begin(problems, sampler.tokenizer, budget)
        rooms = [min(episode.max_tokens, other.context - len(c.prompt)) for c in chains]
        drawn = grow(chains, rooms, sampler=sampler, episode=episode, key=key, hook=hook)
        attempts = [c.trajectory(sampler.tokenizer, episode.temperature) for c in chains]
        for first in range(0, len(chains), budget):
            own = slice(first, first + budget)
            yield Drawn(chains[first].problem, tuple(attempts[own]), Cost.of(drawn[own], models=2))


def mixed(model: Float[Tensor, "N V"], reference: Float[Tensor, "N W"], weight: float) -> Float[Tensor, "N V"]:
    """The mixture; outputs that only one of the models has (padding of its output layer) cannot be drawn."""
    both = min(model.shape[1], reference.shape[1])
    out = torch.full_like(model, -torch.inf, dtype=torch.float32)
    base = reference[:, :both].float()
    # at the ends the one model alone: 0 times an infinite logit is no number
    out[:, :both] = model[:, :both].float() if weight == 1 else base + weight * (model[:, :both].float() - base)
    return out


@dataclass(frozen=True, eq=False)
class _Second:
    """The hook: runs the second model beside the first."""

    net: Any
    weight: float
    context: int
    layer: int | None = field(default=None, init=False)

    def states(self, states: Tensor, ids: Tensor, drawn: Tensor) -> Tensor:
        return states

    def begin(self, rows: Rows) -> Steered:
        # samples of a request share its prompt, which is read once
        _, first, which = np.unique(rows.request, return_index=True, return_inverse=True)
        prompts = [rows.prompts[i] for i in first]
        lengths = np.array([len(p) for p in prompts])
        width = int(lengths.max())
        ids = np.zeros((len(prompts), width), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[width - len(prompt) :] = prompt
        device = next(self.net.parameters()).device
        held = torch.from_numpy(np.arange(width) >= width - lengths[:, None]).to(device)
        found = _Beside(self, torch.from_numpy(ids).to(device), held.long(), torch.from_numpy(lengths).to(device))
        found.keep(torch.from_numpy(which).to(device))
        return found


class _Beside:
    """The second model's cache and latest logits, row by row."""

    def __init__(self, hook: _Second, ids: Tensor, held: Tensor, lengths: Tensor) -> None:
        self.hook, self.held, self.lengths, self.past = hook, held, lengths, None
        self._run(ids, (held.cumsum(1) - 1).clamp_(min=0))

    def logits(self, logits: Float[Tensor, "N V"], drawn: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
        if drawn.shape[1]:
            self.held = torch.nn.functional.pad(self.held, (0, 1), value=1)
            place = (self.lengths + drawn.shape[1] - 1).clamp(max=self.hook.context - 1)
            self._run(drawn[:, -1:], place[:, None])
        return mixed(logits, self.latest, self.hook.weight)

    def keep(self, rows: Int[Tensor, " M"]) -> None:
        assert self.past is not None
        self.past.reorder_cache(rows)
        self.held, self.lengths, self.latest = self.held[rows], self.lengths[rows], self.latest[rows]

    def _run(self, ids: Int[Tensor, "N S"], places: Int[Tensor, "N S"]) -> None:
        mask = None if bool(self.held.all()) else self.held
        out = self.hook.net(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=self.past, use_cache=True
        )
        self.past: Any = out.past_key_values
        self.latest = out.logits[:, -1]
