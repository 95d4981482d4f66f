"""The attempt that ends first."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class FirstFinish:
    """First Finish Search: attempts run side by side, the first that ends is answered with and the others are stopped.

    With `k` above 1 the k that end first vote (FFS-k@n). Of attempts that end at the same time the first drawn counts
    as earlier; one that the token limit cuts has not ended. Where none ends, the first drawn is answered with.

    n attempts of lengths L_1 to L_n cost sum_i min(L_i, L_(k)) tokens and take L_(k) steps, L_(k) the k-th smallest
    length of those that end. The rule helps as far as right attempts are the shorter ones: see the correlation of
    length and correctness that `strop eval --decoder` prints.

    Source: First Finish Search (arXiv:2505.18149, section 3).
    Departures: attempts are drawn to their ends and then cut to what they had when the k-th ended. A batch that is
    stopped there gives the same tokens, and those are what is counted.

    >>> import numpy as np
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> lengths = (9, "stop"), (4, "length"), (5, "stop"), (5, "stop")
    >>> FirstFinish()([Trajectory(problem=problem, sample=i, text="", tokens=np.arange(n), finish=how)
    ...                for i, (n, how) in enumerate(lengths)])
    2
    """

    k: Annotated[int, Field(ge=1)] = 1
    """How many of those that end first vote."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    plain_at_one: ClassVar[bool] = True

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        first = self._first(attempts)
        if not first:
            return 0 if attempts else None
        if self.k == 1:
            return first[0]
        chosen = winner(answers([attempts[i] for i in first]), [1.0] * len(first))
        return None if chosen is None else first[chosen]

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
        found: dict[str, list[Trajectory]] = {problem.id: [] for problem in problems}
        for attempt in episode(problems, sampler=sampler, task=task, samples=budget, key=key):
            found[attempt.problem.id].append(attempt)
        for attempts in found.values():
            attempts.sort(key=lambda t: t.sample)
            first = self._first(attempts)
            # fewer than k that end: nothing tells when to stop, so all run on
            limit = attempts[first[-1]].length if len(first) == self.k else episode.max_tokens
            cut = tuple(_cut(t, limit, sampler) for t in attempts)
            yield Drawn(attempts[0].problem, cut, Cost.of([t.length for t in cut]))

    def _first(self, attempts: Sequence[Trajectory]) -> list[int]:
        """The attempts that end first, in the order in which they do; by characters where tokens are unknown."""
        ended = [i for i, t in enumerate(attempts) if t.finish == "stop"]
        known = all(attempts[i].length for i in ended)
        return sorted(ended, key=lambda i: attempts[i].length if known else len(attempts[i].text))[: self.k]


def _cut(attempt: Trajectory, limit: int, sampler: Sampler) -> Trajectory:
    if attempt.length <= limit:
        return attempt
    assert attempt.tokens is not None
    assert attempt.mask is not None
    assert attempt.logp is not None
    return replace(
        attempt,
        text=sampler.tokenizer.decode(attempt.tokens[:limit]),
        tokens=attempt.tokens[:limit],
        mask=attempt.mask[:limit],
        logp=attempt.logp[:limit],
        finish="length",
    )
