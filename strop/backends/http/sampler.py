"""A sampler whose model is somewhere else."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from strop.backends.http.client import Client, Refused
from strop.backends.http.conversations import Conversation, ConversationTokenizer
from strop.backends.http.replies import Answer, Unfit
from strop.backends.http.server import Server
from strop.backends.requests import check
from strop.episodes import Sampler, Tokenizer
from strop.errors import BackendError
from strop.records import Completion, Finish, Request


class HttpSampler:
    """Continues prompts by asking an OpenAI-compatible server; made by `open_sampler`.

    With token ids (`chat` False) prompts and answers are exact: tokens in, tokens out, the server's end-of-turn token
    included. In a conversation the server's own template and tokenizer are between, and answers are encoded again.

    `logp` is the server's log-probability where it is that of the distribution the token was drawn from, and NaN
    elsewhere: an answer given as text; a temperature other than 1, or top-p or top-k, where the server gives
    log-probabilities of the model before these (`Server.logprobs`), since the chosen token's alone cannot be corrected
    for the rest of the vocabulary. A temperature of 0 has one possible token, with log-probability 0. With `exact` such
    requests are refused: an importance ratio may not be taken to a number that is not there.

    What the server would otherwise take from its model's `generation_config.json` is sent as neutral with every token
    request: top-p, top-k, min-p, the penalties, and the ids that end a turn.

    Each sample is a request of its own with its own seed. Whether a seed repeats an answer is the server's business:
    `strop serve` gives the tokens that `TorchSampler` gives, vLLM repeats itself only for the same batch, others do not
    look at seeds at all.
    """

    hooks: ClassVar[bool] = False
    """Nothing here can reach into the model while it draws."""

    def __init__(
        self,
        server: Server,
        tokenizer: Tokenizer,
        *,
        context: int,
        chat: bool,
        exact: bool = False,
        teacher: Sampler | None = None,
    ) -> None:
        self.server = server
        self.chat = chat
        """Whether it is asked in conversations, not in token ids."""
        self.exact = exact
        """Whether every log-probability must be known."""
        self.teacher = teacher
        self._tokenizer: Tokenizer = ConversationTokenizer(tokenizer) if chat else tokenizer
        self._context = context

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def context(self) -> int:
        """Most tokens a prompt and its response may have together."""
        return self._context

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continue each request once per seed; yields each completion as it arrives.

        At most `server.concurrency` are under way. Closing the iterator ends them; the first that fails for good ends
        all with a `BackendError`.
        """
        for index, request in enumerate(requests):
            self.check(request, f"request {index}")
        work = ((i, s) for i, request in enumerate(requests) for s in range(len(request.seeds)))
        count = sum(len(request.seeds) for request in requests)
        done: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()
        asking = _Background(lambda: self._ask_all(requests, work, min(count, self.server.concurrency), done.put), done)
        try:
            for _ in range(count):
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            asking.stop()

    async def _ask_all(
        self, requests: Sequence[Request], work: Iterator[tuple[int, int]], workers: int, put: Callable[[Any], None]
    ) -> None:
        async with Client(self.server) as client:

            async def worker() -> None:
                for i, s in work:  # shared: each takes the next
                    put(await self.complete(client, requests[i], i, s))

            await asyncio.gather(*(worker() for _ in range(workers)))

    async def complete(
        self,
        client: Client,
        request: Request,
        index: int,
        sample: int,
        heard: Callable[[Answer], None] | None = None,
    ) -> Completion:
        """One sample of one request; `heard` sees the answer grow."""
        path, body = self.form(request, sample)
        room = min(request.max_tokens, self.context - len(request.prompt))
        vocab = None if self.chat else self.tokenizer.vocab_size + PADDED
        try:
            answer = await client.answer(path, body, lambda: Answer(room, vocab), heard)
        except Refused as refused:
            raise BackendError(f"{self.server.text} refuses a request ({refused}).") from None
        except Unfit as unfit:
            raise BackendError(f"{self.server.text} gives an answer that cannot be used: {unfit}.") from None
        tokens, logp, finish = self.read(answer, request)
        return Completion(request=index, sample=sample, tokens=tokens, logp=logp, finish=finish)

    def form(self, request: Request, sample: int) -> tuple[str, dict[str, Any]]:
        """Where one sample is asked for, and the body that asks for it."""
        seed = int(request.seeds[sample]) & 0xFFFFFFFFFFFFFFFF
        body: dict[str, Any] = {
            "model": self.server.model,
            "max_tokens": min(request.max_tokens, self.context - len(request.prompt)),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True,
        }
        if self.chat:
            turns = request.prompt.turns if isinstance(request.prompt, Conversation) else ()
            messages = [{"role": turn.role, "content": turn.content} for turn in turns]
            # 31 bits: what every server takes
            body |= {"messages": messages, "seed": seed >> 33} | ({"top_k": request.top_k} if request.top_k else {})
            return "chat/completions", body | dict(self.server.extra)
        body |= {
            "prompt": np.asarray(request.prompt).tolist(),
            # the same 64 bits as a signed number, which is what servers on PyTorch take
            "seed": seed - 2**64 if seed >= 2**63 else seed,
            "top_k": request.top_k or -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": sorted(self._ends(request)),
            "skip_special_tokens": False,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }
        body |= {} if self.server.logprobs == "none" else {"logprobs": 1}
        return "completions", body | dict(self.server.extra)

    def read(self, answer: Answer, request: Request) -> tuple[np.ndarray, np.ndarray, Finish]:
        """Tokens and log-probabilities of a finished answer."""
        if self.chat:
            tokens = self.tokenizer.encode(answer.response)
            logp = np.full(len(tokens), np.nan)
        else:
            tokens = np.array(answer.tokens, dtype=np.int64)
            known = bool(answer.logp) and self._drawn_from(request) is None
            logp = np.array(answer.logp) if known else np.full(len(tokens), np.nan)
            if self.exact and not known and request.temperature != 0:
                raise BackendError(without_logprobs(self.server))
        ended = len(tokens) > 0 and int(tokens[-1]) in self._ends(request)
        if not ended and answer.finish != "length":
            # it stopped at something that it does not show
            tokens, logp = np.append(tokens, self.tokenizer.end_id), np.append(logp, np.nan)
            ended = True
        if not len(tokens):
            raise BackendError(f"{self.server.text} gave an empty answer that it says is cut off by its length.")
        if request.temperature == 0:
            logp = np.zeros(len(tokens))
        return tokens, logp.astype(np.float32), "stop" if ended else "length"

    def check(self, request: Request, where: str) -> None:
        """Raise `BackendError` at what cannot be asked for."""
        check(where, request, self.context)
        if request.hook is not None:
            raise BackendError(
                f"{where}: {type(request.hook).__name__} changes the model's distribution while it draws, which no "
                "server allows. Use a model in this process."
            )
        prompt = request.prompt
        if self.chat and (request.stop or not (isinstance(prompt, Conversation) and prompt.turns)):
            raise BackendError(
                f"{where}: {self.server.text} takes conversations, and this prompt was put together from tokens, or is "
                "to stop at one. That needs a server that takes token ids, such as vllm serve, or a model in this "
                "process."
            )
        if self.exact and request.temperature and (name := self._drawn_from(request)):
            raise BackendError(
                f"{where}: {name}, and {self.server.text} gives log-probabilities of the model before that: the "
                "importance ratio would be biased. Sample plainly (temperature=1, top_p=1, top_k=0), or serve with "
                f"vllm serve --logprobs-mode processed_logprobs and say so: {self.server.text},logprobs=processed"
            )

    def _ends(self, request: Request) -> frozenset[int]:
        """What an answer ends with: kept as its last token."""
        return self.tokenizer.eos_ids.union(int(i) for i in request.stop)

    def _drawn_from(self, request: Request) -> str | None:
        """What makes the distribution drawn from another one than that of the server's log-probabilities."""
        plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
        changed = [
            f"{name}={getattr(request, name)}" for name, value in plain.items() if getattr(request, name) != value
        ]
        return ", ".join(changed) if changed and self.server.logprobs != "processed" else None


PADDED = 4096
"""Ids beyond the tokenizer's own that a padded output layer may draw."""


def without_logprobs(server: Server) -> str:
    """The message for a server that cannot serve a policy gradient."""
    return (
        f"{server.text} returns no log-probabilities of the tokens it draws, and an importance ratio needs them. Use a "
        "server that gives them with token ids (vllm serve, strop serve), or only evaluate and distil from this one."
    )


class _Background:
    """An event loop in a thread of its own, which runs one coroutine until that ends or is stopped."""

    def __init__(self, make: Callable[[], Any], failed: "queue.SimpleQueue[Any]") -> None:
        self._make, self._failed = make, failed
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Any] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strop-http", daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._make())
        self._started.set()
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._failed.put(error)
        finally:
            # what the first failure left running
            rest = asyncio.all_tasks(self._loop)
            for task in rest:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def stop(self) -> None:
        """End what is still running and wait for it."""
        if self._thread.is_alive() and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it may have ended in between
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
