"""The endpoint: routes, keys, errors in OpenAI's form."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from strop.errors import BackendError, ConfigError, StropError, did_you_mean
from strop.records import Turn
from strop.serve import replies
from strop.serve.answering import Part, Served, Task, answer
from strop.serve.limits import Busy, Gate, Limits
from strop.serve.names import decoder_named, read_name, servable
from strop.serve.outer import Outer
from strop.serve.schema import ChatRequest, CompletionRequest, Sampling

THREADS = 64
"""Decoders that may be at work at once outside the event loop."""
MOST_STOPS = 16
T = TypeVar("T")


class Wrong(Exception):
    """A request that cannot be answered: status, OpenAI's code, what to say."""

    def __init__(self, status: int, code: str, said: str) -> None:
        super().__init__(said)
        self.status, self.code = status, code


def build_app(models: Sequence[Served], limits: Limits, key: str = "", hosts: Sequence[str] = ()) -> FastAPI:
    """The application that serves `models`. A non-empty `key` is wanted as bearer; without one, only requests that
    were addressed to one of `hosts` are answered, where there are any."""
    served = {each.name: each for each in models}
    gate = Gate(limits)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "strop-decode"))
        sources = {id(s): s for each in models for s in (each.source, *each.older.values())}.values()
        for source in sources:
            await source.open()
        yield
        gate.closing = True
        for source in sources:
            await source.close()

    app = FastAPI(title="strop", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.gate = gate
    app.add_middleware(Outer, key=key, hosts=tuple(hosts), body_bytes=limits.body_bytes)
    endpoint = _Endpoint(served, gate)

    @app.get("/health")
    async def health() -> Response:
        numbers = {"attempts": gate.attempts, "requests": gate.requests, "served": gate.served, "refused": gate.refused}
        status = "closing" if gate.closing else "ok"
        return JSONResponse({"status": status, **numbers}, 503 if gate.closing else 200)

    @app.get("/v1/models")
    async def list_models() -> Response:
        return JSONResponse(replies.model_list(served.values(), servable()))

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        return JSONResponse(replies.model_card(name, endpoint.find(name)[0]))

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        return await endpoint.respond(request, body, lambda: endpoint.chat_task(body), replies.Chat)

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        return await endpoint.respond(request, body, lambda: endpoint.completion_task(body), replies.Text)

    @app.exception_handler(Wrong)
    async def wrong(_: Request, error: Wrong) -> Response:
        return JSONResponse(replies.error(str(error), error.code), error.status)

    @app.exception_handler(Busy)
    async def busy(_: Request, error: Busy) -> Response:
        return JSONResponse(replies.error(str(error), "busy"), error.status, {"Retry-After": str(error.seconds)})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first: Mapping[str, Any] = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        said = str(first["msg"]).removeprefix("Value error, ")[:500]
        return JSONResponse(replies.error(f"{place}: {said}" if place else said, "invalid_request"), 400)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        return JSONResponse(replies.error(str(error.detail), "not_found"), error.status_code)

    return app


class _Endpoint:
    """What both endpoints do with a request."""

    def __init__(self, served: Mapping[str, Served], gate: Gate) -> None:
        self.served, self.gate = served, gate

    def find(self, name: str) -> tuple[Served, Any, int]:
        """The model, decoder and budget of a model name."""
        try:
            asked = read_name(name, self.served)
            if asked is None:
                known = [*self.served, *(f"{model}:DECODER@BUDGET" for model in self.served)]
                raise Wrong(404, "model_not_found", f"There is no model {name[:200]!r}. {did_you_mean(name, known)}")
            decoder = decoder_named(asked.decoder) if asked.decoder else None
        except ConfigError as error:
            raise Wrong(404, "model_not_found", str(error)) from None
        return self.served[asked.model], decoder, asked.budget

    def chat_task(self, body: ChatRequest) -> tuple[Served, Task]:
        served, decoder, budget = self.find(body.model)
        turns = tuple(message.turn for message in body.messages)
        try:
            prompt = served.source.tokenizer.prompt(turns)
        except Exception as error:
            # a template is a program of the model's own, and may refuse an order of roles
            said = f"The model's chat template does not take these messages ({str(error)[:300]})."
            raise Wrong(400, "invalid_request", said) from None
        limit = body.max_completion_tokens or body.max_tokens
        return served, self._task(served, body, turns, prompt, decoder, budget, limit)

    def completion_task(self, body: CompletionRequest) -> tuple[Served, Task]:
        served, decoder, budget = self.find(body.model)
        if decoder is not None:
            said = f"{body.model}: decoders answer conversations; ask /v1/chat/completions."
            raise Wrong(400, "invalid_request", said)
        tokenizer = served.source.tokenizer
        prompt: Any = tokenizer.encode(body.prompt) if isinstance(body.prompt, str) else replies.ids(body.prompt)
        turns = (Turn("user", body.prompt if isinstance(body.prompt, str) else ""),)
        task = self._task(served, body, turns, prompt, decoder, budget, body.max_tokens or 16)
        return served, replace(task, stop=self._stops(served, body.stop_token_ids or ()))

    def _stops(self, served: Served, stop: Sequence[int]) -> tuple[int, ...]:
        vocab = served.source.tokenizer.vocab_size
        more = sorted({*stop} - served.source.tokenizer.eos_ids)
        if len(more) > MOST_STOPS or any(not 0 <= token < vocab for token in more):
            said = f"stop_token_ids: expected at most {MOST_STOPS} ids from 0 to {vocab - 1}."
            raise Wrong(400, "invalid_request", said)
        return tuple(more)

    def _task(
        self, served: Served, body: Sampling, turns: tuple[Turn, ...], prompt: Any, decoder: Any, budget: int,
        max_tokens: int | None,
    ) -> Task:  # fmt: skip
        limits, context = self.gate.limits, served.source.context
        if not 0 < len(prompt) < context:
            said = f"The prompt has {len(prompt)} tokens and the context of {served.name} is {context}."
            raise Wrong(400, "context_length_exceeded", said)
        attempts = body.n * budget
        most = min(limits.per_request, limits.attempts)
        if attempts > most:
            said = f"n={body.n} with {budget} attempts each are {attempts} attempts; at most {most} may be asked for."
            raise Wrong(400, "too_many_attempts", said)
        return Task(
            turns=turns,
            prompt=prompt,
            answers=body.n,
            decoder=decoder,
            budget=budget,
            max_tokens=min(max_tokens or limits.tokens, limits.tokens, context - len(prompt)),
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=max(0, body.top_k or 0),
            seed=secrets.randbits(64) if body.seed is None else body.seed % 2**64,
        )

    async def respond(
        self,
        request: Request,
        body: Any,
        make: Callable[[], tuple[Served, Task]],
        form: "type[replies.Chat] | type[replies.Text]",
    ) -> Response:
        """Whole or streamed; whoever goes away is given up, and the room is free at once."""
        served, task = make()
        reply = form(body, served, task)
        count = task.answers * task.budget
        try:
            served.source.check(task.request([0] * count))
        except BackendError as error:
            raise Wrong(400, "invalid_request", str(error)) from None
        leave = self.gate.enter(count)
        if body.stream:
            return Stream(self._events(served, task, reply), leave)
        try:
            parts = await _unless_gone(request, self._collect(served, task))
            return JSONResponse(reply.whole(parts))
        except TimeoutError:
            return JSONResponse(replies.error(self._too_slow(), "timeout"), 504)
        except StropError as error:
            return JSONResponse(replies.error(str(error), "server_error"), 500)
        finally:
            leave()

    async def _collect(self, served: Served, task: Task) -> list[Part]:
        async with asyncio.timeout(self.gate.limits.seconds):
            async with contextlib.aclosing(answer(served, task, growing=False)) as parts:
                return [part async for part in parts]

    async def _events(self, served: Served, task: Task, reply: Any) -> AsyncGenerator[str, None]:
        said: asyncio.Queue[Part | Exception | None] = asyncio.Queue()

        async def pump() -> None:
            try:
                async with asyncio.timeout(self.gate.limits.seconds):
                    async with contextlib.aclosing(answer(served, task, growing=True)) as parts:
                        async for part in parts:
                            said.put_nowait(part)
                said.put_nowait(None)
            except Exception as error:
                said.put_nowait(error)

        pumping = asyncio.create_task(pump())
        try:
            for event in reply.opening():
                yield event
            while True:
                try:
                    async with asyncio.timeout(replies.SILENCE):
                        part = await said.get()
                except TimeoutError:
                    yield ": working\n\n"  # a comment: it keeps the connection, and whatever is between, awake
                    continue
                if part is None:
                    break
                if isinstance(part, TimeoutError):
                    yield replies.event(replies.error(self._too_slow(), "timeout"))
                    return
                if isinstance(part, Exception):
                    text = str(part) if isinstance(part, StropError) else f"{type(part).__name__}: {part}"
                    yield replies.event(replies.error(text, "server_error"))
                    return
                for event in reply.events(part):
                    yield event
            for event in reply.closing():
                yield event
        finally:
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)

    def _too_slow(self) -> str:
        return f"No whole answer within {self.gate.limits.seconds:g} s."


class Stream(StreamingResponse):
    """Frees the room when the last event is out, or when the client goes away."""

    def __init__(self, events: AsyncGenerator[str, None], leave: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self.events, self.leave = events, leave

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()
            await self.events.aclose()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result, unless the client goes away first: then the work is given up."""
    working = asyncio.create_task(work)

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watching = asyncio.create_task(gone())
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Wrong(499, "client_gone", "The client went away.")
        return working.result()
    finally:
        for each in (working, watching):
            each.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
