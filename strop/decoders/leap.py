"""Parallel attempts that tell each other how far they are."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import Chain, begin, closing, grow, separators
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory
from strop.text import CLOSE

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class Leap:
    """Learning from peers: attempts in progress summarise where they stand and read some of the others' summaries.

    `turns` times, every attempt still thinking draws up to `stretch` tokens, drops its unfinished step, writes a
    summary after `cue`, and reads those of `peers` others: the least similar ones (`dispersed`), the most similar
    (`clustered`), half and half (`hybrid`) or any (`random`). Similar is what has a high ratio of matching characters.
    Then all go on to their answers, which vote; a thought that is out of tokens is closed. Everything an attempt draws,
    summaries included, counts towards its `max_tokens`. An attempt alone has no peers and is a plain one.

    Source: Learning from Peers in Reasoning Models (arXiv:2505.07787, section 3) and its code.
    Departures: lengths, cues and the number of turns are scaled to the bundled model, which was never trained on
    summaries; similarity is difflib's ratio, where the code takes Levenshtein's.

    >>> Leap(peers=2, route="dispersed").listens(["ab c", "ab d", "x y", "ab c d"], 0)
    [2, 1]
    """

    turns: Annotated[int, Field(ge=1)] = 1
    """How often attempts exchange summaries; 5 in the code."""
    stretch: Annotated[int, Field(ge=1)] = 32
    """Tokens between exchanges; 4096 in the paper."""
    summary_tokens: Annotated[int, Field(ge=1)] = 12
    """Tokens of a summary; 256 in the paper."""
    peers: Annotated[int, Field(ge=1)] = 2
    """How many summaries an attempt reads; 4 in the paper."""
    route: Literal["dispersed", "clustered", "hybrid", "random"] = "dispersed"
    """Whose."""
    cue: str = " so"
    """What asks for a summary."""
    comment: str = " check {summary}"
    """How a peer's summary is read."""
    invite: str = " wait"
    """What follows the peers' summaries."""
    answer_tokens: Annotated[int, Field(ge=1)] = 16
    """Tokens kept for the answer, at most half of `max_tokens`."""
    separators: tuple[str, ...] = ("\n\n", " ")
    """Where a step ends: the first of these that is a token by itself."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    plain_at_one: ClassVar[bool] = True

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
        tokenizer, end = sampler.tokenizer, closing(sampler.tokenizer)
        breaks = frozenset(separators(tokenizer, self.separators))
        reserve = min(self.answer_tokens, episode.max_tokens // 2) if budget > 1 else 0
        chains = begin(problems, tokenizer, budget)
        most = episode.max_tokens - reserve
        for turn in range(self.turns if budget > 1 else 0):
            open_ = [c for c in chains if c.finish is None and end not in c.tokens]
            rooms = [min(self.stretch, most - c.spent) for c in open_]
            grow(open_, rooms, sampler=sampler, episode=episode, key=key, piece=_name("think", turn), stop=(end,))
            open_ = [c for c in open_ if c.finish is None and end not in c.tokens and c.spent < most]
            marks = [self._ask(chain, breaks, tokenizer.encode(self.cue).tolist()) for chain in open_]
            rooms = [min(self.summary_tokens, most - c.spent) for c in open_]
            grow(open_, rooms, sampler=sampler, episode=episode, key=key, piece=_name("sum", turn), stop=(end,))
            said = {}
            for chain, mark in zip(open_, marks, strict=True):
                # an attempt that ended its turn or thought instead of summing up says nothing to the others
                if chain.finish is None and end not in chain.tokens:
                    said[id(chain)] = tokenizer.decode(np.array(chain.tokens[mark:])).strip()
            for problem in problems:
                group = [c for c in open_ if c.problem.id == problem.id and id(c) in said]
                texts = [said[id(c)] for c in group]
                for i, chain in enumerate(group):
                    heard = self.listens(texts, i, key.fold(problem.id, "route", turn, chain.sample))
                    if heard:
                        comments = "".join(self.comment.replace("{summary}", texts[j]) for j in heard)
                        chain.read(tokenizer.encode(comments + self.invite))
        whole = budget == 1
        rooms = [most - c.spent for c in chains]
        stop = () if whole else (end,)
        grow(chains, rooms, sampler=sampler, episode=episode, key=key, piece=0 if whole else "rest", stop=stop)
        if not whole:
            for chain in chains:
                if chain.finish is None and end not in chain.tokens:
                    chain.read(tokenizer.encode(CLOSE))
            rooms = [episode.max_tokens - c.spent for c in chains]
            grow(chains, rooms, sampler=sampler, episode=episode, key=key, piece="answer")
        for first in range(0, len(chains), budget):
            own = chains[first : first + budget]
            attempts = tuple(c.trajectory(tokenizer, episode.temperature) for c in own)
            yield Drawn(own[0].problem, attempts, Cost.of([c.spent for c in own]))

    def listens(self, texts: Sequence[str], i: int, key: Key | None = None) -> list[int]:
        """Which of the others number `i` hears."""
        others = [j for j in range(len(texts)) if j != i]
        if self.route == "random":
            (key or Key.root(0)).random().shuffle(others)
            return others[: self.peers]
        ratio = {j: SequenceMatcher(None, texts[i], texts[j], autojunk=False).ratio() for j in others}
        rising = sorted(others, key=lambda j: (ratio[j], j))
        far = {"dispersed": self.peers, "clustered": 0, "hybrid": self.peers // 2}[self.route]
        near = [j for j in sorted(others, key=lambda j: (-ratio[j], j)) if j not in rising[:far]]
        return [*rising[:far], *near[: self.peers - far]]

    @staticmethod
    def _ask(chain: Chain, breaks: frozenset[int], cue: Sequence[int]) -> int:
        """Drop the unfinished step and ask for a summary; where the summary begins."""
        size = next((n for n in range(len(chain.tokens), 0, -1) if chain.tokens[n - 1] in breaks), len(chain.tokens))
        chain.cut(size)
        chain.read(cue)
        return len(chain.tokens)


def _name(part: str, turn: int) -> str | int:
    """The first stretch has the seeds of a plain attempt."""
    return 0 if (part, turn) == ("think", 0) else f"{part} {turn}"
