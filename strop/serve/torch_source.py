"""A model in this process: one thread draws for all callers."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from strop.backends.torch.jobs import Jobs
from strop.backends.torch.sampler import TorchSampler
from strop.episodes import Tokenizer
from strop.errors import BackendError
from strop.models.language_model import vocab_of
from strop.records import Request
from strop.serve.live_batch import Call, LiveBatch, Rounds, batch_of
from strop.serve.source import News


class TorchSource:
    """Feeds the batch from a thread of its own; whoever waits for news waits in an event loop."""

    def __init__(self, sampler: TorchSampler, capacity: int) -> None:
        self.sampler = sampler
        self.capacity = capacity
        """Most samples that wait or run; the gate before it keeps them below that."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = threading.Condition()
        self._new: deque[Call] = deque()
        self._gone: deque[Call] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="strop-serve", daemon=True)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.sampler.tokenizer

    @property
    def context(self) -> int:
        return self.sampler.context

    def check(self, request: Request) -> None:
        """Raise `BackendError` at a request that cannot be drawn."""
        if request.hook is not None:
            raise BackendError(
                f"{type(request.hook).__name__} changes the model's distribution while it draws, which requests that "
                "share a batch cannot do. Use it with strop eval."
            )
        if len(request.seeds) > self.capacity:
            raise BackendError(f"At most {self.capacity} samples can be drawn at once, got {len(request.seeds)}.")
        Jobs.of([request], self.context, vocab_of(self.sampler.model.net), self.tokenizer.eos_ids)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    async def attempts(self, request: Request, *, growing: bool) -> AsyncGenerator[News, None]:
        """News of each sample until all are whole."""
        self.check(request)
        heard: asyncio.Queue[News | Exception] = asyncio.Queue()
        call = Call(request, growing, heard, left=len(request.seeds))
        with self._changed:
            if self._closing:
                raise BackendError("The server is shutting down.")
            self._new.append(call)
            self._changed.notify()
        left = len(request.seeds)
        try:
            while left:
                news = await heard.get()
                if isinstance(news, Exception):
                    left = 0
                    raise news
                left -= news.whole is not None
                yield news
        finally:
            if left:
                with self._changed:
                    self._gone.append(call)
                    self._changed.notify()

    def _run(self) -> None:
        batch: LiveBatch | Rounds | None = None
        active: dict[int, Call] = {}
        waiting: deque[Call] = deque()
        while True:
            with self._changed:
                while not (self._new or self._gone or self._closing or waiting or (batch and batch.busy)):
                    self._changed.wait()
                new, self._new = self._new, deque()
                gone, self._gone = self._gone, deque()
                closing = self._closing
            active |= {id(call): call for call in new}
            waiting.extend(new)
            try:
                if closing:
                    raise BackendError("The server is shutting down.")
                batch = batch or batch_of(self.sampler, self.capacity)
                for call in gone:
                    if active.pop(id(call), None) is None:
                        continue  # it failed with an earlier batch
                    if call in waiting:
                        waiting.remove(call)
                    else:
                        batch.drop(call)
                while waiting and batch.fits(waiting[0]):
                    batch.add(waiting.popleft())
                news = list(batch.advance()) if batch.busy else []
                self._tell([(call.tag, each) for call, each in news])
                for call, each in news:
                    call.left -= each.whole is not None
                    if not call.left:
                        active.pop(id(call), None)
            except Exception as error:
                # diverged weights, no memory: these requests are lost, the next ones start with a new batch
                self._tell([(call.tag, error) for call in active.values()])
                batch = None
                active.clear()
                waiting.clear()
                if closing:
                    return

    def _tell(self, news: Sequence[tuple[Any, News | Exception]]) -> None:
        def put() -> None:
            for queue, each in news:
                queue.put_nowait(each)

        if news and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(put)
