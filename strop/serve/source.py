"""Where attempts come from while many requests are under way: the contract."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from strop.episodes import Tokenizer
from strop.records import Completion, Request


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What is new of one sample of a request."""

    sample: int
    tokens: Sequence[int]
    """Drawn since the last news of it."""
    logp: Sequence[float]
    """Of each of these; NaN where unknown."""
    whole: Completion | None = None
    """All of it, with the last news."""


class Source(Protocol):
    """Continues prompts for many callers at once."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context(self) -> int:
        """Most tokens a prompt and its response may have together."""
        ...

    def check(self, request: Request) -> None:
        """Raise `BackendError` at a request that cannot be drawn."""
        ...

    def attempts(self, request: Request, *, growing: bool) -> AsyncGenerator[News, None]:
        """News of each of the request's samples until all are whole; with `growing` of every token on the way.

        Closing it gives up what is unfinished.
        """
        ...

    async def open(self) -> None:
        """Called once in the loop that serves, before anything else."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...
