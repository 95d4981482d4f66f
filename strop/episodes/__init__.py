"""How does one attempt unfold?

An episode is a piece: `episode(problems, sampler=..., task=..., samples=G, key=...)` yields trajectories in the
order in which they finish, so that judging overlaps with generating. Sampling seeds come from `key.fold(problem.id,
sample)` and nothing else. Episodes that replay data ask the task for a demonstration and the sampler only for its
tokenizer.

One attempt is one trajectory, whatever it unfolds in: its tokens are all that was written, in order. Where the model
went on from another prompt than the first, `Trajectory.contexts` says so; tokens between turns that it did not write
are in the mask; answers of its turns that should be judged by themselves are `Trajectory.answers`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from strop.keys import Key
from strop.records import Completion, Int, Problem, Request, Trajectory, Turn, np
from strop.tasks import Task


@runtime_checkable
class Tokenizer(Protocol):
    """Text in, tokens out, and back; knows the model's chat format."""

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every id that ends a turn."""
        ...

    @property
    def end_id(self) -> int:
        """The id a trained response ends with."""
        ...

    @property
    def pad_id(self) -> int:
        """What may stand under padding; no text contains it."""
        ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Every entry and its id; tokenizers with equal ones can read each other's tokens."""
        ...

    def prompt(self, turns: Sequence[Turn]) -> Int[np.ndarray, " S"]:
        """The conversation up to where the assistant's turn begins."""
        ...

    def encode(self, text: str) -> Int[np.ndarray, " T"]:
        """Response text, without an end-of-turn id."""
        ...

    def decode(self, tokens: Int[np.ndarray, " T"]) -> str:
        """Response text; end-of-turn and padding ids are left out, thinking tags stay."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Anything that continues prompts: the torch sampler, an in-process engine, a server."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context(self) -> int:
        """Most tokens a prompt and its response may have together."""
        ...

    @property
    def teacher(self) -> "Sampler | None":
        """The same for the recipe's teacher; None where it has none."""
        ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continue each request once per seed; yields each completion as it finishes."""
        ...


@runtime_checkable
class Episode(Protocol):
    """What the loop needs of an episode."""

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]: ...


def replays(episode: Any) -> bool:
    """Whether its attempts come from data alone, as it says; one that says nothing draws where it has a temperature."""
    return bool(getattr(episode, "replays", not hasattr(episode, "temperature")))
