"""Decoders that draw attempts in a way of their own, on top of a source that others use at the same time."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from strop.decoders import Drawn
from strop.episodes import Sampler, Tokenizer
from strop.episodes.single_turn import SingleTurn
from strop.errors import BackendError, ConfigError
from strop.keys import Key
from strop.records import Completion, Request
from strop.serve.source import Source

if TYPE_CHECKING:
    from strop.serve.answering import Task


class SharedSampler:
    """A source as a `Sampler`: for code that runs in a thread, while the source's loop serves everybody."""

    hooks: ClassVar[bool] = False
    """Requests share a batch, so none may change how tokens are drawn."""
    teacher: ClassVar[Sampler | None] = None

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self.source, self.loop = source, loop
        self.stopped = threading.Event()
        """Set when nobody waits for the result any more."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self.source.tokenizer

    @property
    def context(self) -> int:
        return self.source.context

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continue each request once per seed; yields each completion as it finishes."""
        done: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()

        async def ask(index: int, request: Request) -> None:
            async with contextlib.aclosing(self.source.attempts(request, growing=False)) as news:
                async for each in news:
                    if each.whole is not None:
                        done.put(replace(each.whole, request=index))

        async def ask_all() -> None:
            try:
                await asyncio.gather(*(ask(i, request) for i, request in enumerate(requests)))
            except BaseException as error:
                done.put(error)
                raise

        asked = asyncio.run_coroutine_threadsafe(ask_all(), self.loop)
        try:
            for _ in range(sum(len(request.seeds) for request in requests)):
                while True:
                    if self.stopped.is_set():
                        raise BackendError("Nobody waits for this answer any more.")
                    with contextlib.suppress(queue.Empty):
                        result = done.get(timeout=0.2)
                        break
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            asked.cancel()


class _NoTask:
    """Stands where a decoder may look for the task; a conversation has none."""

    name = "serve"

    def __getattr__(self, name: str) -> Any:
        raise BackendError(f"This decoder asks the task for {name!r}, and a conversation has no task. Use strop eval.")


async def drawn(source: Source, task: "Task", seed: int) -> Drawn:
    """What a decoder draws for one conversation."""
    sampler = SharedSampler(source, asyncio.get_running_loop())
    episode = SingleTurn(max_tokens=task.max_tokens, temperature=task.temperature, top_p=task.top_p, top_k=task.top_k)
    no_task: Any = _NoTask()

    def run() -> Drawn:
        try:
            [only] = task.decoder.draw(
                [task.problem], sampler=sampler, task=no_task, budget=task.budget, episode=episode, key=Key.root(seed)
            )
        except ConfigError as error:
            raise BackendError(str(error)) from error
        return only

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        sampler.stopped.set()
        raise
