"""Reflection words are forbidden as soon as the model is sure of its answer."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import begin, closing, grow, require_hooks, seed_of, separators
from strop.decoders._hooks import Distributions, Suppression
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler, Tokenizer
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory
from strop.text import CLOSE

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class Cgrs:
    r"""Certainty-guided reflection suppression: the surer of its answer, the less a thought may reconsider.

    At the end of each step the thought is closed on the side and a short answer a_1 to a_n drawn greedily, then thrown
    away. Its certainty C, and with it the probability p with which each next token may not be a trigger, are

    .. math::
        C = 1 - \frac{1}{n \log V} \sum_{i=1}^{n} H(p_{a_i}), \qquad
        p = \max\Bigl(0, \frac{C - \delta}{1 - \delta}\Bigr)

    Attempts run side by side and vote. Side answers count towards an attempt's `max_tokens` and towards its cost.

    Source: Certainty-Guided Reflection Suppression (arXiv:2508.05337, section 3).
    Departures: triggers and steps are also the bundled model's; the paper does not count side answers.

    >>> Cgrs(delta=0.9).probability(0.95), Cgrs(delta=0.9).probability(0.5)
    (0.5, 0.0)
    """

    delta: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """The certainty from which on triggers are suppressed; 0.9 in the paper, for vocabularies of 150,000."""
    triggers: tuple[str, ...] = ("wait", "but", "alternatively", "alternative", "hmm", "check", "again")
    """Words whose tokens are suppressed, in any case and with or without a space before; the last two are the bundled
    model's."""
    question: str = ""
    """What follows the closed thought on the side, such as a request for a boxed answer."""
    probe_tokens: Annotated[int, Field(ge=1)] = 16
    """Most tokens of a side answer."""
    constant: Annotated[float, Field(ge=0, le=1)] | None = None
    """Suppress with this probability always, without side answers: the paper's control."""
    separators: tuple[str, ...] = ("\n\n", " ")
    """Where a step ends: the first of these that is a token by itself."""

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
        tokenizer, end = sampler.tokenizer, closing(sampler.tokenizer)
        triggers, spread = self._ids(tokenizer), math.log(tokenizer.vocab_size)
        chains = begin(problems, tokenizer, budget)
        chance = dict.fromkeys(map(id, chains), self.constant or 0.0)
        stop = () if self.constant is not None else (*separators(tokenizer, self.separators), end)
        asked = tokenizer.encode(CLOSE + self.question)
        step = 0
        while thinking := [c for c in chains if c.finish is None and c.spent < episode.max_tokens]:
            name = f"step {step}" if step else 0
            hook = Suppression(triggers, {seed_of(c, key, name): chance[id(c)] for c in thinking})
            # a thought that is closed has nothing left to suppress or to ask for
            done = [c for c in thinking if end in c.tokens]
            for part, ends, given in ((done, (), None), ([c for c in thinking if end not in c.tokens], stop, hook)):
                rooms = [episode.max_tokens - c.spent for c in part]
                drawn = grow(part, rooms, sampler=sampler, episode=episode, key=key, piece=name, stop=ends, hook=given)
                for chain, length, room in zip(part, drawn, rooms, strict=True):
                    if chain.finish is None and (length == 0 or length == room):
                        chain.finish = "length"
            sides = [c for c in thinking if c.finish is None and end not in c.tokens]
            forks = [c.fork(c.sample) for c in sides]
            for fork in forks:
                fork.read(asked)
            rooms = [min(self.probe_tokens, episode.max_tokens - c.spent) for c in sides]
            noted, name = Distributions(), f"side {step}"
            lengths = grow(forks, rooms, sampler=sampler, episode=episode, key=key, piece=name, hook=noted, greedy=True)
            for chain, length in zip(sides, lengths, strict=True):
                chain.spent += length
                if length:
                    entropy, _ = noted.of(seed_of(chain, key, name), length)
                    chance[id(chain)] = self.probability(1.0 - entropy / spread)
            step += 1
        for first in range(0, len(chains), budget):
            own = chains[first : first + budget]
            attempts = tuple(c.trajectory(tokenizer, episode.temperature) for c in own)
            yield Drawn(own[0].problem, attempts, Cost.of([c.spent for c in own]))

    def probability(self, certainty: float) -> float:
        """How likely a trigger is forbidden, rounded at the 12th digit."""
        return round(max(0.0, (certainty - self.delta) / (1.0 - self.delta)), 12)

    def _ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        words = {word.lower() for word in self.triggers}
        known = sorted(set(tokenizer.vocabulary.values()))
        return tuple(i for i in known if tokenizer.decode(np.array([i])).strip().lower() in words)
