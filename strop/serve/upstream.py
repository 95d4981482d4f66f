"""A model on another server: strop chooses among what that one answers."""

import asyncio
import math
from collections.abc import AsyncGenerator

import numpy as np

from strop.backends.http.client import Client
from strop.backends.http.replies import Answer
from strop.backends.http.sampler import HttpSampler
from strop.episodes import Tokenizer
from strop.errors import BackendError
from strop.records import Request
from strop.serve.source import News
from strop.text import CLOSE, OPEN


class Upstream:
    """Passes requests on, each sample on its own."""

    def __init__(self, sampler: HttpSampler) -> None:
        self.sampler = sampler
        self._client: Client | None = None
        self._room = asyncio.Semaphore(sampler.server.concurrency)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.sampler.tokenizer

    @property
    def context(self) -> int:
        return self.sampler.context

    def check(self, request: Request) -> None:
        """Raise `BackendError` at a request that cannot be asked for."""
        self.sampler.check(request, "the request")

    async def open(self) -> None:
        self._client = Client(self.sampler.server)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.__aexit__(None, None, None)

    async def attempts(self, request: Request, *, growing: bool) -> AsyncGenerator[News, None]:
        """News of each sample until all are whole."""
        self.check(request)
        heard: asyncio.Queue[News | Exception] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._one(request, sample, growing, heard)) for sample in range(len(request.seeds))
        ]
        try:
            left = len(tasks)
            while left:
                news = await heard.get()
                if isinstance(news, Exception):
                    raise news
                left -= news.whole is not None
                yield news
        finally:
            for task in tasks:
                task.cancel()

    async def _one(
        self, request: Request, sample: int, growing: bool, heard: "asyncio.Queue[News | Exception]"
    ) -> None:
        told = _Told(self.sampler)

        def grown(answer: Answer) -> None:
            if growing and (new := told.new(answer)):
                heard.put_nowait(News(sample, new, [math.nan] * len(new)))

        assert self._client is not None
        try:
            async with self._room:
                whole = await self.sampler.complete(self._client, request, 0, sample, grown)
            rest = told.rest(whole.tokens)
            heard.put_nowait(News(sample, rest, [math.nan] * len(rest), whole))
        except Exception as error:
            heard.put_nowait(error)


class _Told:
    """How much of an answer has been passed on."""

    def __init__(self, sampler: HttpSampler) -> None:
        self.sampler = sampler
        self.text, self.count = "", 0

    def new(self, answer: Answer) -> list[int]:
        """What was added; a second try that writes something else cannot be mended any more."""
        if not self.sampler.chat:
            found = answer.tokens[self.count :]
            self.count = max(self.count, len(answer.tokens))
            return found
        thinking = f"{OPEN}{answer.thought}" if answer.thought else ""
        text = thinking + (CLOSE if thinking and answer.text else "") + answer.text
        if not text.startswith(self.text[: len(text)]):
            raise BackendError(f"{self.sampler.server.text} broke off an answer and began another one.")
        found, self.text = text[len(self.text) :], max(self.text, text, key=len)
        return self.sampler.tokenizer.encode(found).tolist()

    def rest(self, tokens: np.ndarray) -> list[int]:
        """What the end adds to that."""
        if not self.sampler.chat:
            return tokens[self.count :].tolist()
        rest = self.sampler.tokenizer.decode(tokens)[len(self.text) :]
        return self.sampler.tokenizer.encode(rest).tolist()
