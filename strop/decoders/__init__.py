"""How do we answer at test time?

A decoder is fed with attempts and names one: `decoder(attempts) -> index` of the attempt whose answer is given, or
`None` where none can be given. Attempts come in the order in which they were drawn; ties go to the first seen. It never
looks at whether an answer is right. What it looks at it says in `needs`, by the names of `NEEDS`; rollouts without that
are refused. A decoder of this kind works on stored rollouts.

A decoder that draws attempts in a way of its own also has

    draw(problems, *, sampler, task, budget, episode, key) -> Iterator[Drawn]

one `Drawn` for each problem, in any order: its attempts, and what they cost. They are judged, so that their answers
can be read, and the decoder then chooses among them as above. Where it first has to learn something of the model,
`prepare(sampler=, task=, episode=, key=)` gives back the decoder that knows it. `episode` says how a plain attempt is
drawn (`Plain`); a decoder whose budget of 1 is exactly that says `plain_at_one`.

**The budget** is in attempts: `budget` times `episode.max_tokens` tokens is the most that may be drawn for a problem,
whether they end up in an attempt or not. Sequential decoders spend it in one long chain.

**Hooks.** A decoder that changes what tokens are drawn from puts a `Hook` into its requests. Only samplers whose
`hooks` is true take it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from strop.keys import Key
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    import torch

    from strop.episodes import Sampler
    from strop.tasks import Task

NEEDS: Mapping[str, Callable[[Trajectory], bool]] = {
    "answer": lambda attempt: attempt.verdict is not None and attempt.verdict.answer is not None,
    "score": lambda attempt: attempt.reward != 0,
}
"""What a decoder may need of attempts, named as in a file of rollouts, and how an attempt shows that it has it."""


@runtime_checkable
class Decoder(Protocol):
    """What evaluation needs of any decoder."""

    needs: ClassVar[tuple[str, ...]]

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took to get to an answer.

    >>> Cost(5, 5, 5).beside(Cost(3, 6, 4)), Cost(5, 5, 5).then(Cost(3, 6, 4))
    (Cost(tokens=8, passes=11, longest=5), Cost(tokens=8, passes=11, longest=9))
    """

    tokens: int = 0
    """Tokens drawn, whether they stand in an attempt or not."""
    passes: int = 0
    """Forward passes of one sequence: one for each drawn token and each model that had a say in it."""
    longest: int = 0
    """The longest chain of forward passes that wait for each other: the time to the answer where all that can run side
    by side does."""

    def beside(self, other: "Cost") -> "Cost":
        """Both at the same time."""
        return Cost(self.tokens + other.tokens, self.passes + other.passes, max(self.longest, other.longest))

    def then(self, other: "Cost") -> "Cost":
        """One after the other."""
        return Cost(self.tokens + other.tokens, self.passes + other.passes, self.longest + other.longest)

    @classmethod
    def of(cls, lengths: Sequence[int], models: int = 1) -> "Cost":
        """Of continuations of these lengths, side by side.

        >>> Cost.of([4, 2], models=2)
        Cost(tokens=6, passes=12, longest=4)
        """
        return cls(sum(lengths), models * sum(lengths), max(lengths, default=0))


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What a decoder drew for one problem."""

    problem: Problem
    attempts: tuple[Trajectory, ...]
    """What it chooses among; what it drew on the way and threw away is only counted."""
    cost: Cost


class Plain(Protocol):
    """How a plain attempt is drawn: the single-turn episode."""

    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def top_k(self) -> int: ...

    def __call__(
        self, problems: Sequence[Problem], *, sampler: "Sampler", task: "Task", samples: int, key: Key
    ) -> Iterator[Trajectory]: ...


@runtime_checkable
class Drawing(Protocol):
    """What evaluation needs of a decoder that draws in a way of its own."""

    needs: ClassVar[tuple[str, ...]]
    plain_at_one: ClassVar[bool]
    """Whether a budget of 1 gives exactly the plain attempt."""

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None: ...

    def draw(
        self,
        problems: Sequence[Problem],
        *,
        sampler: "Sampler",
        task: "Task",
        budget: int,
        episode: Plain,
        key: Key,
    ) -> Iterator[Drawn]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Samples that are drawn in step with each other, as a hook meets them."""

    prompts: tuple[Int[np.ndarray, " _"], ...]
    """What each row continues; lengths may differ."""
    request: Int[np.ndarray, " N"]
    """Which request of the call each row belongs to, and which of its seeds it has."""
    sample: Int[np.ndarray, " N"]
    seed: UInt[np.ndarray, " N"]


class Steered(Protocol):
    """What a hook keeps of the rows that are drawn in step."""

    def logits(
        self, logits: "Float[torch.Tensor, 'N V']", drawn: "Int[torch.Tensor, 'N T']"
    ) -> "Float[torch.Tensor, 'N V']":
        """What the next token of every row is drawn from, before temperature, top-k and top-p; `drawn` is what each
        row has drawn so far, T the same for all. A row that has ended may still be among them."""
        ...

    def keep(self, rows: "Int[torch.Tensor, ' M']") -> None:
        """From now on the rows are these of the present ones, in this order."""
        ...


class Hook(Protocol):
    """What changes the distribution that the tokens of a request are drawn from: one object for all requests that
    carry it, called once in a step for all of their rows."""

    @property
    def layer(self) -> int | None:
        """The layer whose output `states` changes, from 0; None where it changes none."""
        ...

    def states(
        self,
        states: "Float[torch.Tensor, 'N S H']",
        ids: "Int[torch.Tensor, 'N S']",
        drawn: "Bool[torch.Tensor, 'N S']",
    ) -> "Float[torch.Tensor, 'N S H']":
        """The hidden states that leave `layer`, position by position; `drawn` is False on prompts and padding."""
        ...

    def begin(self, rows: Rows) -> Steered:
        """Called before the first token of rows that are drawn in step."""
        ...
