"""What the server says, in OpenAI's form."""

import json
import math
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from strop.serve.answering import Part, Served, Task

SILENCE = 10.0
"""Seconds without an event after which a stream says that it still works."""
STARTED = int(time.time())


def error(said: str, code: str) -> dict[str, Any]:
    kind = "server_error" if code in ("server_error", "timeout", "busy") else "invalid_request_error"
    return {"error": {"message": said, "type": kind, "param": None, "code": code}}


def event(content: dict[str, Any]) -> str:
    """A server-sent event.

    >>> event({"a": "²\\n"})
    'data: {"a":"²\\\\n"}\\n\\n'
    """
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def ids(tokens: Sequence[int]) -> np.ndarray:
    return np.asarray(tokens, dtype=np.int64)


def model_card(name: str, served: Served) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": STARTED, "owned_by": "strop", "max_model_len":
            served.source.context}  # fmt: skip


def model_list(models: Iterable[Served], decoders: Sequence[str]) -> dict[str, Any]:
    cards = [
        model_card(name, served)
        for served in models
        for name in (served.name, *(f"{served.name}:{decoder}" for decoder in decoders))
    ]
    return {"object": "list", "data": cards}


class Chat:
    """Replies of /v1/chat/completions."""

    def __init__(self, body: Any, served: Served, task: Task) -> None:
        self.head = _head("chatcmpl", body.model)
        self.task = task
        self.with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self.done: list[Part] = []

    def whole(self, parts: Sequence[Part]) -> dict[str, Any]:
        """The reply of a request that is not streamed."""
        texts = _joined(parts)
        last = sorted((part for part in parts if part.finish), key=lambda part: part.answer)
        choices = [
            {
                "index": part.answer,
                "message": {"role": "assistant", "content": texts[part.answer], "refusal": None},
                "logprobs": None,
                "finish_reason": part.finish,
            }
            for part in last
        ]
        return self.head | {"object": "chat.completion", "choices": choices, **self._tail(last)}

    def opening(self) -> Iterator[str]:
        """Events before anything was drawn."""
        for answer in range(self.task.answers):
            yield self._event(answer, {"role": "assistant", "content": ""})

    def events(self, part: Part) -> Iterator[str]:
        """Events of one part."""
        if part.text:
            yield self._event(part.answer, {"content": part.text})
        if part.finish:
            self.done.append(part)
            yield self._event(part.answer, {}, part.finish)

    def closing(self) -> Iterator[str]:
        """Events after everything."""
        if self.with_usage:
            yield event(self.head | {"object": "chat.completion.chunk", "choices": [], **self._tail(self.done)})
        yield "data: [DONE]\n\n"

    def _event(self, answer: int, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": answer, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self.head | {"object": "chat.completion.chunk", "choices": [choice]})

    def _tail(self, last: Sequence[Part]) -> dict[str, Any]:
        tail: dict[str, Any] = {"usage": _usage(self.task, last)}
        if self.task.decoder is not None:
            # nobody but strop has this field; clients keep or drop what they do not know
            chosen = [part.chosen for part in sorted(last, key=lambda part: part.answer)]
            tail["strop"] = {"attempts": self.task.budget, "chosen": chosen}
        return tail


class Text:
    """Replies of /v1/completions, with token ids and log-probabilities where they are asked for."""

    def __init__(self, body: Any, served: Served, task: Task) -> None:
        self.head = _head("cmpl", body.model) | {"object": "text_completion"}
        self.body, self.task, self.tokenizer = body, task, served.source.tokenizer
        self.with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self.done: list[Part] = []

    def whole(self, parts: Sequence[Part]) -> dict[str, Any]:
        """The reply of a request that is not streamed."""
        last = sorted((part for part in parts if part.finish), key=lambda part: part.answer)
        choices = [self._choice([part for part in parts if part.answer == end.answer]) for end in last]
        return self.head | {"choices": choices, "usage": _usage(self.task, last)}

    def opening(self) -> Iterator[str]:
        """Events before anything was drawn."""
        return iter(())

    def events(self, part: Part) -> Iterator[str]:
        """Events of one part; its text may lag behind its tokens."""
        if part.finish:
            self.done.append(part)
        by_token = self.body.return_token_ids or self.body.logprobs is not None
        if part.text or part.finish or (part.new and by_token):
            yield event(self.head | {"choices": [self._choice([part])]})

    def closing(self) -> Iterator[str]:
        """Events after everything."""
        if self.with_usage:
            yield event(self.head | {"choices": [], "usage": _usage(self.task, self.done)})
        yield "data: [DONE]\n\n"

    def _choice(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Consecutive parts of one answer."""
        text = "".join(part.text for part in parts)
        tokens = [token for part in parts for token in part.new]
        found: dict[str, Any] = {"index": parts[-1].answer, "text": text, "logprobs": None}
        if self.body.logprobs is not None:
            by_id = self.body.return_tokens_as_token_ids
            names = [f"token_id:{t}" if by_id else self.tokenizer.decode(ids([t])) for t in tokens]
            logp = [value for part in parts for value in part.logp]
            if not any(map(math.isnan, logp)):
                found["logprobs"] = {"tokens": names, "token_logprobs": logp}
        if self.body.return_token_ids:
            found["token_ids"] = tokens
        return found | {"finish_reason": parts[-1].finish}


def _head(prefix: str, model: str) -> dict[str, Any]:
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}


def _joined(parts: Sequence[Part]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for part in parts:
        texts[part.answer] = texts.get(part.answer, "") + part.text
    return texts


def _usage(task: Task, last: Sequence[Part]) -> dict[str, int]:
    """Every token that was drawn counts, also those of attempts that were not chosen."""
    drawn = sum(part.tokens for part in last)
    prompt = len(task.prompt)
    return {"prompt_tokens": prompt, "completion_tokens": drawn, "total_tokens": prompt + drawn}
