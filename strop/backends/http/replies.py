"""What a server says, read as hostile input: bounded, checked, and never trusted to be what was asked for."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strop.text import join_thought

LINE_BYTES = 2**20
"""Longest line of a stream."""
REPLY_BYTES = 64 * 2**20
"""Longest reply of a server that does not stream."""
CHARACTERS_PER_TOKEN = 256
"""More text than this for each token that was asked for is no answer."""


class Broken(Exception):
    """An answer that was lost on its way, or is none; asking again may help."""


class Unfit(Exception):
    """An answer that lacks what was asked for; asking again will not help."""


class OtherTokenizer(Unfit):
    """Token ids that the tokenizer here does not have."""


@dataclass(slots=True)
class Answer:
    """One answer as it arrives."""

    max_tokens: int
    """Most tokens that were asked for."""
    vocab: int | None = None
    """Ids are below this; None where the answer is wanted as text."""
    text: str = ""
    thought: str = ""
    """What the server took out of the text as reasoning."""
    tokens: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    """As many as tokens, or none at all."""
    finish: str = ""

    def add(self, data: str | bytes) -> None:
        """Take in one chunk of a stream, or a whole reply."""
        chunk = read_json(data)
        if chunk.get("error"):
            raise Broken(f"the server reports an error: {message(chunk)}")
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise Broken("a reply without choices")
        if not choices:
            return  # usage alone
        choice = choices[0]
        if len(choices) > 1 or not isinstance(choice, dict) or choice.get("index", 0) != 0:
            raise Broken("a reply with other choices than the one asked for")
        self._add_text(choice)
        if self.vocab is not None:
            self._add_tokens(choice, self.vocab)
        finish = choice.get("finish_reason")
        if finish is not None:
            if not isinstance(finish, str) or not finish:
                raise Broken(f"finish_reason is {shown(finish)}")
            self.finish = finish

    @property
    def response(self) -> str:
        """All that was written, the thought in its tags where the server had taken it out."""
        return join_thought(self.thought, self.text) if self.thought else self.text

    def _add_text(self, choice: Mapping[str, Any]) -> None:
        said = next((choice[name] for name in ("delta", "message") if isinstance(choice.get(name), dict)), choice)
        for own, names in (("text", ("content", "text")), ("thought", ("reasoning_content", "reasoning"))):
            new = next((said[name] for name in names if said.get(name) is not None), "")
            if not isinstance(new, str):
                raise Broken(f"{names[0]} is {shown(new)}, expected text")
            # surrogates can be written in JSON and in nothing else
            setattr(self, own, getattr(self, own) + new.encode("utf-8", "replace").decode())
        if len(self.text) + len(self.thought) > CHARACTERS_PER_TOKEN * self.max_tokens + 1024:
            raise Unfit(f"more text than {self.max_tokens} tokens can hold")

    def _add_tokens(self, choice: Mapping[str, Any], vocab: int) -> None:
        found = choice.get("logprobs")
        logprobs: Mapping[str, Any] = found if isinstance(found, dict) else {}
        tokens: Any = choice.get("token_ids")
        if tokens is None:
            # older vLLM: return_tokens_as_token_ids alone
            names = logprobs.get("tokens") or []
            tokens = [int(n[9:]) if re.fullmatch(r"token_id:\d{1,9}", str(n)) else None for n in names]
        if not isinstance(tokens, list) or any(type(t) is not int for t in tokens):
            raise Unfit("token ids are not given as numbers")
        if any(not 0 <= t < vocab for t in tokens):
            raise OtherTokenizer(f"a token id beyond the tokenizer's {vocab}: its model has another tokenizer")
        if not tokens and (choice.get("text") or (choice.get("finish_reason") and not self.tokens)):
            raise Unfit("token ids are not given")
        values = logprobs.get("token_logprobs") or []
        if not isinstance(values, list):
            raise Broken(f"token_logprobs is {shown(values)}")
        if len(values) not in (0, len(tokens)) or (tokens and self.tokens and bool(values) != bool(self.logp)):
            raise Broken(f"{len(values)} log-probabilities for {len(tokens)} tokens")
        self.logp += [_logp(value) for value in values]
        self.tokens += tokens
        if len(self.tokens) > self.max_tokens:
            raise Unfit(f"more tokens than the {self.max_tokens} that were asked for")


def _logp(value: Any) -> float:
    """A log-probability; rounding may lift one a little above 0."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6
    if not fits or not math.isfinite(value) or value > 1e-3:
        raise Broken(f"{shown(value)} is no log-probability")
    return min(float(value), 0.0)


def read_json(data: str | bytes) -> dict[str, Any]:
    """A JSON object, or `Broken`."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Broken(f"a reply that is no JSON ({type(error).__name__}): {shown(data)}") from None
    if not isinstance(found, dict):
        raise Broken(f"a reply that is no JSON object: {shown(found)}")
    return found


def message(reply: Any) -> str:
    """What an error reply says, short and printable, whatever its form.

    >>> message({"error": {"message": "no such model"}}), message({"detail": [{"msg": "bad"}]}), message("<html>")
    ('no such model', "[{'msg': 'bad'}]", '<html>')
    """
    for name in ("error", "message", "detail"):
        while isinstance(reply, dict) and reply.get(name):
            reply = reply[name]
    return shown(reply, 300)


def shown(value: Any, most: int = 80) -> str:
    """A value in a message: one line, printable, cut.

    >>> shown("a\\x1b[2J\\nb"), shown("x" * 100, 5)
    ('a [2J b', 'xxxxx...')
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most] + "..."
