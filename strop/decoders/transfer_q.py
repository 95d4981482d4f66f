"""Decoding towards a reward, by looking ahead with a model that was aligned before."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import Chain, begin, grow, likelihood, values
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class TransferQ:
    r"""Picks each next block of tokens by the reward that the model's own continuation of it would get.

    The model is the baseline policy rho, aligned to some reward already. From `candidates` blocks z drawn from it, each
    continued greedily by `lookahead` tokens to tau, one is picked with probability proportional to exp(TQ(z) / alpha),

    .. math:: TQ(z) = w(\tau)\, r(\tau), \qquad w(\tau) \propto \exp\bigl((r(\tau) - r_{BL}(\tau)) / \beta\bigr)

    with w normalised to mean 1 over the candidates; without a `baseline` reward w = 1 (direct transfer). Blocks drawn
    from rho and picked like this follow rho(z) exp(TQ(z) / alpha) as candidates grow in number. Where what is left of
    the budget does not pay for another look ahead and the rest of the attempt, the rest is drawn plainly, so a budget
    of 1 is a plain attempt.

    Source: Transfer Q-star (arXiv:2405.20495, equations 8 to 11) and its code.
    Departures: blocks in place of single tokens, drawn in place of the 10 most likely, since a look ahead at every
    token costs its length times the candidates; the code leaves w unnormalised, which turns the order where r < 0.

    >>> [round(float(q), 4) for q in TransferQ(beta=1.0).weighed(np.array([1.0, 2.0]), np.array([1.0, 1.0]))]
    [0.5379, 2.9242]
    """

    reward: Any = None
    """r, a reward without memory called on unjudged attempts; None takes the likelihood the model gives to its own."""
    baseline: Any = None
    """r_BL, the reward that the model is aligned to; None where it is the same."""
    alpha: Annotated[float, Field(gt=0)] = 0.1
    """How far the reward may pull away from the model: the weight of the divergence between the two."""
    beta: Annotated[float, Field(gt=0)] = 1.0
    """The same, of the model's own alignment."""
    candidates: Annotated[int, Field(ge=1)] = 4
    """Blocks compared; 10 tokens in the code."""
    block: Annotated[int, Field(ge=1)] = 8
    """Tokens of a block; 1 in the paper."""
    lookahead: Annotated[int, Field(ge=0)] = 16
    """Tokens of the greedy continuation; 20 in the code."""

    needs: ClassVar[tuple[str, ...]] = ()
    plain_at_one: ClassVar[bool] = True

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        return 0 if attempts else None

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
        tokenizer, total = sampler.tokenizer, budget * episode.max_tokens
        chains = {c.problem.id: c for c in begin(problems, tokenizer, 1)}
        cost = {problem.id: Cost() for problem in problems}
        ahead = self.candidates * (self.block + self.lookahead)
        looked = 0

        def pays(chain: Chain) -> bool:
            rest = episode.max_tokens - len(chain.tokens)
            left = total - cost[chain.problem.id].tokens
            return chain.finish is None and rest > 0 and left - ahead >= max(0, rest - 1)

        while turn := [c for c in chains.values() if pays(c)]:
            tried = [c.fork(i) for c in turn for i in range(self.candidates)]
            rooms = [min(self.block, episode.max_tokens - len(c.tokens)) for c in tried]
            blocks = grow(tried, rooms, sampler=sampler, episode=episode, key=key, piece=looked and f"block {looked}")
            ends = [c.fork(c.sample) for c in tried]
            rooms = [self.lookahead] * len(ends)
            rolled = grow(ends, rooms, sampler=sampler, episode=episode, key=key, piece="ahead", greedy=True)
            for i, chain in enumerate(turn):
                own = slice(i * self.candidates, (i + 1) * self.candidates)
                spent = Cost.of(blocks[own]).then(Cost.of(rolled[own]))
                cost[chain.problem.id] = cost[chain.problem.id].then(spent)
                worth = self.values([c.trajectory(tokenizer, episode.temperature) for c in ends[own]])
                chosen = tried[own][self.pick(worth, key.fold(chain.problem.id, "pick", looked))]
                chosen.sample = 0
                chains[chain.problem.id] = chosen if chosen.spent else _ended(chosen)
            looked += 1
        rest = list(chains.values())
        rooms = [min(episode.max_tokens - len(c.tokens), total - cost[c.problem.id].tokens) for c in rest]
        drawn = grow(rest, rooms, sampler=sampler, episode=episode, key=key, piece="rest" if looked else 0)
        for chain, length in zip(rest, drawn, strict=True):
            attempt = chain.trajectory(tokenizer, episode.temperature)
            yield Drawn(chain.problem, (attempt,), cost[chain.problem.id].then(Cost.of([length])))

    def values(self, attempts: Sequence[Trajectory]) -> Float[np.ndarray, " K"]:
        """TQ of each candidate, by where looking ahead ended."""
        if self.reward is None:
            return np.array([likelihood(t) for t in attempts])
        found = values(self.reward, attempts)
        return found if self.baseline is None else self.weighed(found, values(self.baseline, attempts))

    def weighed(self, found: Float[np.ndarray, " K"], base: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """Rewards weighted by how much likelier the target's optimum makes each candidate than the baseline's."""
        usable = np.isfinite(found) & np.isfinite(base)
        if not usable.any():
            return found
        apart = np.where(usable, found, 0.0) - np.where(usable, base, 0.0)
        apart = np.where(usable, (apart - apart[usable].max()) / self.beta, -np.inf)
        weight = np.exp(apart)
        return np.where(usable, weight / weight.mean() * np.where(usable, found, 0.0), -np.inf)

    def pick(self, worth: Float[np.ndarray, " K"], key: Key) -> int:
        """One candidate, by softmax(worth / alpha)."""
        if not np.isfinite(worth).any():
            return 0
        weight = np.exp((worth - worth.max()) / self.alpha)
        return int(
            np.searchsorted(np.cumsum(weight / weight.sum()), key.random().random(), side="right").clip(
                max=len(weight) - 1
            )
        )


def _ended(chain: Chain) -> Chain:
    """A chain that could not go on, such as at the end of the context."""
    chain.finish = chain.finish or "length"
    return chain
