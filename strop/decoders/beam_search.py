"""Search over steps, guided by a score of unfinished attempts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import Chain, begin, grow, likelihood, separators, values
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class BeamSearch:
    """Keeps the best unfinished attempts after every step and tries several next steps of each.

    With a budget of N, N / M attempts are kept. In each round every kept one is continued by M different next steps,
    all N candidates are scored, and the best N / M of them go on; a finished one keeps its place as long as its score
    holds. `diverse` lets each of the N / M be the best of its own M (DVTS), so that no branch crowds out the others.
    The finished attempt with the best score is answered with; where none finished, the best unfinished one.

    Scores are those of a process reward model: `score` is called with a group of unfinished attempts that nobody has
    judged, like a reward. Without one, a step is worth exp of the mean log-probability of its tokens, which favours
    what the model finds likely. `reduce` says what the steps' scores make of the attempt's.

    Source: Scaling LLM Test-Time Compute (arXiv:2408.03314, section 5.2); reduction over steps: arXiv:2305.20050.
    Departures: candidates share what is left of the budget evenly, so that no search spends more than N whole attempts.

    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> scores = (0.2, "stop"), (0.9, "length"), (0.5, "stop")
    >>> BeamSearch()([Trajectory(problem=problem, sample=i, text="", reward=v, finish=how)
    ...               for i, (v, how) in enumerate(scores)])
    2
    """

    width: Annotated[int, Field(ge=1)] = 4
    """M, next steps tried of each kept attempt; 4 in the paper."""
    diverse: bool = False
    """Whether each kept attempt competes only with those of its own branch."""
    reduce: Literal["last", "min", "product"] = "last"
    """What an attempt is worth, from what its steps are worth."""
    score: Any = None
    """Who scores: a reward without memory, called on unfinished attempts; None takes the likelihood of each step."""
    steps: Annotated[int, Field(ge=1)] = 40
    """Most rounds; what is unfinished after them is drawn to its end."""
    separators: tuple[str, ...] = ("\n\n", " ")
    """Where a step ends: the first of these that is a token by itself."""

    needs: ClassVar[tuple[str, ...]] = ("score",)
    plain_at_one: ClassVar[bool] = True

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        scored = [i for i, attempt in enumerate(attempts) if not math.isnan(attempt.reward)]
        ended = [i for i in scored if attempts[i].finish == "stop"]
        return max(ended or scored, key=lambda i: attempts[i].reward, default=None)

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
        tokenizer = sampler.tokenizer
        stop = separators(tokenizer, self.separators)
        width = min(self.width, budget)
        beams = {c.problem.id: [(c, [])] for c in begin(problems, tokenizer, 1)}
        left = {problem.id: budget * episode.max_tokens for problem in problems}
        cost = {problem.id: Cost() for problem in problems}
        for step in range(self.steps + 1):
            last = step == self.steps or budget == 1
            forks = {name: self._fork(kept, budget, width, last) for name, kept in beams.items()}
            grown = [c for name in forks for c, _, _ in forks[name] if c.finish is None]
            among = {name: max(1, sum(c.finish is None for c, _, _ in each)) for name, each in forks.items()}
            rooms = [min(episode.max_tokens - len(c.tokens), left[c.problem.id] // among[c.problem.id]) for c in grown]
            if not grown or max(rooms) < 1:
                break
            begun = {id(c): len(c.tokens) for c in grown}
            grow(grown, rooms, sampler=sampler, episode=episode, key=key, piece=f"step {step}" if step else 0,
                 stop=() if last else stop)  # fmt: skip
            for name, each in forks.items():
                drawn = [c.spent for c, _, _ in each]
                left[name] -= sum(drawn)
                cost[name] = cost[name].then(Cost.of(drawn))
                self._rate(each, begun, tokenizer)
                beams[name] = self._prune(each, max(1, budget // width))
            if last:
                break
        for problem in problems:
            kept = beams[problem.id]
            attempts = [c.trajectory(tokenizer, episode.temperature, self._worth(scores)) for c, scores in kept]
            yield Drawn(problem, tuple(attempts), cost[problem.id])

    def _fork(
        self, kept: Sequence[tuple[Chain, list[float]]], budget: int, width: int, last: bool
    ) -> list[tuple[Chain, list[float], int]]:
        """The candidates of the next round, with their steps' scores and their branch."""
        found: list[tuple[Chain, list[float], int]] = []
        first = len(kept) == 1 and not kept[0][0].tokens
        for branch, (chain, scores) in enumerate(kept):
            many = 1 if chain.finish is not None or (last and not first) else budget if first else width
            for _ in range(many):
                found.append((chain.fork(len(found)), list(scores), len(found) // width if first else branch))
        return found

    def _rate(self, each: Sequence[tuple[Chain, list[float], int]], begun: dict[int, int], tokenizer: Any) -> None:
        """Append what the new step of each candidate is worth."""
        new = [(c, scores) for c, scores, _ in each if c.spent]
        attempts = [c.trajectory(tokenizer, 1.0) for c, _ in new]
        if self.score is not None and attempts:
            worths = values(self.score, attempts).tolist()
        else:
            worths = [likelihood(_step(c, begun[id(c)], t)) for (c, _), t in zip(new, attempts, strict=True)]
        for (_, scores), worth in zip(new, worths, strict=True):
            scores.append(worth)

    def _prune(self, each: Sequence[tuple[Chain, list[float], int]], keep: int) -> list[tuple[Chain, list[float]]]:
        order = sorted(each, key=lambda one: -self._worth(one[1]))
        if self.diverse:
            best: dict[int, tuple[Chain, list[float], int]] = {}
            for one in order:
                best.setdefault(one[2], one)
            order = [best[branch] for branch in sorted(best)]
        return [(chain, scores) for chain, scores, _ in order[:keep]]

    def _worth(self, scores: Sequence[float]) -> float:
        """What an attempt is worth; one without a step is worth nothing."""
        if not scores:
            return -math.inf
        return {"last": lambda: scores[-1], "min": lambda: min(scores), "product": lambda: math.prod(scores)}[
            self.reduce
        ]()


def _step(chain: Chain, begun: int, attempt: Trajectory) -> Trajectory:
    return replace(attempt, logp=np.array(chain.logp[begun:], dtype=np.float32))
