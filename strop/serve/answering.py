"""From a conversation to answers: attempts are drawn, a decoder chooses among them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from strop.keys import Key
from strop.records import Completion, Finish, Problem, Request, Trajectory, Turn, Verdict
from strop.serve.drawing import drawn
from strop.serve.reading import Reader, read_answer
from strop.serve.source import Source

UNJUDGED = "nobody here knows the right answer"


@dataclass(frozen=True, slots=True)
class Served:
    """A model as it is served."""

    name: str
    source: Source
    older: Mapping[str, Source] = field(default_factory=dict)
    """Earlier checkpoints by their names, for decoders that take turns among them; the newest is `source`."""
    newest: str = ""
    """The name of the checkpoint that `source` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one request wants."""

    turns: tuple[Turn, ...]
    prompt: Any
    """Its tokens."""
    answers: int = 1
    decoder: Any = None
    """None takes the first attempt as it is."""
    budget: int = 1
    """Attempts for each answer."""
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    stop: tuple[int, ...] = ()
    """Ids that end an attempt beside those that end a turn."""

    def request(self, seeds: Sequence[int]) -> Request:
        return Request(
            prompt=self.prompt, seeds=seeds, max_tokens=self.max_tokens, temperature=self.temperature,
            top_p=self.top_p, top_k=self.top_k, stop=self.stop,
        )  # fmt: skip

    @property
    def problem(self) -> Problem:
        # of equal conversations too, attempts belong to one problem
        return Problem(id="serve/0", task="serve", prompt=self.turns, reference=None)


@dataclass(frozen=True, slots=True)
class Part:
    """What is new of one answer."""

    answer: int
    text: str
    """Follows what was said before."""
    new: Sequence[int] = ()
    """Of a plain answer: the tokens that are new."""
    logp: Sequence[float] = ()
    """Of each of these."""
    finish: Finish | None = None
    """With the last part."""
    tokens: int = 0
    """With the last part: drawn for this answer, whether they stand in it or not."""
    chosen: int | None = None
    """With the last part of a decoder's answer: which attempt it is; None where the decoder found none fit."""


def seeds(seed: int, count: int) -> list[int]:
    """The given seed for the first sample, and for the others what is hashed from it."""
    return [seed if i == 0 else Key.root(seed).fold("serve", i).uint64() for i in range(count)]


async def answer(served: Served, task: Task, *, growing: bool) -> AsyncGenerator[Part, None]:
    """Parts of the answers, in the order in which they come."""
    if task.decoder is None:
        parts = _plain(served, task, growing)
    elif hasattr(task.decoder, "draw"):
        parts = _drawing(served, task)
    else:
        parts = _choosing(served, task)
    async with contextlib.aclosing(parts):
        async for part in parts:
            yield part


async def _plain(served: Served, task: Task, growing: bool) -> AsyncGenerator[Part, None]:
    readers = [Reader(served.source.tokenizer) for _ in range(task.answers)]
    request = task.request(seeds(task.seed, task.answers))
    async with contextlib.aclosing(served.source.attempts(request, growing=growing)) as news:
        async for each in news:
            reader, whole = readers[each.sample], each.whole
            text = reader.add(each.tokens) + (reader.end() if whole else "")
            part = Part(each.sample, text, each.tokens, each.logp)
            yield part if whole is None else replace(part, finish=whole.finish, tokens=len(whole.tokens))


async def _choosing(served: Served, task: Task) -> AsyncGenerator[Part, None]:
    """Attempts come from one model, or in turns from several; each answer is chosen as soon as its attempts are in."""
    shares = _shares(served, task)
    found: list[dict[int, Trajectory]] = [{} for _ in range(task.answers)]
    inbox: asyncio.Queue[tuple[int, int, str, Source, Completion] | Exception] = asyncio.Queue()
    every = seeds(task.seed, task.answers * task.budget)

    async def draw(name: str, source: Source, places: range) -> None:
        which = [(a, p) for a in range(task.answers) for p in places]
        request = task.request([every[a * task.budget + p] for a, p in which])
        try:
            async with contextlib.aclosing(source.attempts(request, growing=False)) as news:
                async for each in news:
                    if each.whole is not None:
                        inbox.put_nowait((*which[each.sample], name, source, each.whole))
        except Exception as error:
            inbox.put_nowait(error)

    drawing = [asyncio.create_task(draw(*share)) for share in shares]
    try:
        for _ in range(task.answers * task.budget):
            got = await inbox.get()
            if isinstance(got, Exception):
                raise got
            number, place, name, source, whole = got
            found[number][place] = _attempt(task, place, name, source, whole)
            if len(found[number]) == task.budget:
                attempts = [found[number][i] for i in range(task.budget)]
                chosen = await asyncio.to_thread(_choose, task.decoder, attempts)
                yield _part(number, attempts, chosen, sum(t.length for t in attempts))
    finally:
        for each in drawing:
            each.cancel()
        await asyncio.gather(*drawing, return_exceptions=True)


async def _drawing(served: Served, task: Task) -> AsyncGenerator[Part, None]:
    """The decoder draws, each answer on its own."""
    starts = seeds(task.seed, task.answers)
    finished: asyncio.Queue[tuple[int, Any] | Exception] = asyncio.Queue()

    async def one(number: int) -> None:
        try:
            finished.put_nowait((number, await drawn(served.source, task, starts[number])))
        except Exception as error:
            finished.put_nowait(error)

    drawing = [asyncio.create_task(one(number)) for number in range(task.answers)]
    try:
        for _ in drawing:
            got = await finished.get()
            if isinstance(got, Exception):
                raise got
            number, result = got
            attempts = [_read(attempt) for attempt in result.attempts]
            chosen = await asyncio.to_thread(_choose, task.decoder, attempts)
            yield _part(number, attempts, chosen, result.cost.tokens)
    finally:
        for each in drawing:
            each.cancel()
        await asyncio.gather(*drawing, return_exceptions=True)


def _shares(served: Served, task: Task) -> list[tuple[str, Source, range]]:
    """Which checkpoints draw which of an answer's attempts."""
    if not getattr(task.decoder, "across", False) or not served.older:
        return [(served.newest, served.source, range(task.budget))]
    every = {served.newest: served.source, **served.older}
    names = task.decoder.newest(set(every))
    shares: list[tuple[str, Source, range]] = []
    start = 0
    for name, count in zip(names, task.decoder.quota(task.budget), strict=False):
        shares.append((name, every[name], range(start, start + count)))
        start += count
    # fewer checkpoints than the decoder would take: the newest one draws the rest
    if start < task.budget:
        shares.append((served.newest, served.source, range(start, task.budget)))
    return [share for share in shares if len(share[2])]


def _attempt(task: Task, place: int, name: str, source: Source, whole: Completion) -> Trajectory:
    return _read(
        Trajectory(
            problem=task.problem,
            sample=place,
            text=source.tokenizer.decode(whole.tokens),
            finish=whole.finish,
            prompt_tokens=task.prompt,
            tokens=whole.tokens,
            mask=np.ones(len(whole.tokens), dtype=bool),
            logp=whole.logp,
            temperature=task.temperature,
            checkpoint=name,
        )
    )


def _read(attempt: Trajectory) -> Trajectory:
    """With the answer it gives; whether that is right is known to nobody here, and no decoder looks at it."""
    said = read_answer(attempt.text)
    outcome: Literal["unparsable", "error"] = "unparsable" if said is None else "error"
    return replace(attempt, verdict=Verdict(outcome, answer=said, detail=UNJUDGED))


def _choose(decoder: Any, attempts: Sequence[Trajectory]) -> int | None:
    return decoder(attempts)


def _part(number: int, attempts: Sequence[Trajectory], chosen: int | None, tokens: int) -> Part:
    """A decoder that finds no attempt fit leaves the first one; that it did is said."""
    given = attempts[chosen or 0]
    return Part(number, given.text, finish=given.finish, tokens=tokens, chosen=chosen)
