"""Getting to know a server before anything is asked of it."""

import asyncio
from typing import Any

import numpy as np

from strop.backends.http.client import Client, Refused
from strop.backends.http.conversations import ByteTokenizer
from strop.backends.http.replies import Answer, OtherTokenizer, Unfit, shown
from strop.backends.http.sampler import HttpSampler, without_logprobs
from strop.backends.http.server import Server
from strop.episodes import Sampler, Tokenizer
from strop.errors import BackendError, did_you_mean
from strop.records import Request, Turn

NO_CONTEXT = 1_000_000
"""Context of a server that declares none."""
PROBE_TOKENS = 8


def open_sampler(
    server: str | Server,
    model: str = "",
    tokenizer: str | Tokenizer | None = None,
    *,
    exact: bool = False,
    context: int | None = None,
    teacher: Sampler | None = None,
) -> HttpSampler:
    """A sampler on a running server, after its list of models was read and one answer of a few tokens was tried.

    `server` is an address (`http://127.0.0.1:8000/v1`, `...#MODEL`) or a `Server`; `model` the name it serves.
    `tokenizer` is a model folder or hub name whose tokenizer it is, or a `Tokenizer`, and goes before that of the
    `Server`; without either the server is asked in conversations and lengths are counted in bytes. `exact` refuses
    whatever would leave a log-probability unknown. `context` is what the model can take where the server does not say.
    """
    if isinstance(server, str):
        server = Server.parse(server, model)
    elif model:
        server = server.called(model)
    tokenizer = server.tokenizer if tokenizer is None else tokenizer
    if isinstance(tokenizer, str):
        from strop.models.language_model import tokenizer_of

        tokenizer, own = tokenizer_of(tokenizer) if tokenizer else (None, None)
        context = own if context is None else context
    return asyncio.run(_open(server, tokenizer, exact, context, teacher))


async def _open(
    server: Server, tokenizer: Tokenizer | None, exact: bool, context: int | None, teacher: Sampler | None
) -> HttpSampler:
    async with Client(server) as client:
        cards = await client.models()
        names = [str(card["id"]) for card in cards]
        if not server.model:
            if len(names) != 1:
                listed = f"it serves {', '.join(map(shown, names[:20]))}" if names else "it lists none"
                raise BackendError(f"{server.url}: name the model, {listed}. Next: {server.url}#NAME")
            server = server.called(names[0])
        limits = [_declared(card) for card in cards if card["id"] == server.model]
        # a context in tokens says nothing of a prompt that is counted in bytes
        known = [each for each in (*limits, context) if each and tokenizer is not None]
        limit = min(known, default=NO_CONTEXT)

        def sampler(chat: bool) -> HttpSampler:
            own = tokenizer or ByteTokenizer()
            return HttpSampler(server, own, context=limit, chat=chat, exact=exact, teacher=teacher)

        problem = "no tokenizer is known for it"
        if server.mode != "chat" and tokenizer is not None:
            found, problem = await _tokens(client, sampler(chat=False), exact)
            if found:
                return found
        if server.mode == "tokens" or exact:
            raise BackendError(
                f"{server.text} cannot be asked in token ids ({problem}). "
                + (without_logprobs(server) if exact else "Leave out mode=tokens, or name its tokenizer=FOLDER.")
            )
        return await _chat(client, sampler(chat=True), names)


async def _tokens(client: Client, sampler: HttpSampler, exact: bool) -> tuple[HttpSampler | None, str]:
    """The sampler, where the server takes and gives token ids; else why not."""
    try:
        answer, request = await _try(client, sampler)
    except OtherTokenizer as problem:
        raise BackendError(f"{sampler.server.text} gives {problem}. Name that of its model: tokenizer=FOLDER") from None
    except (Refused, Unfit) as problem:
        return None, str(problem)
    _same_tokenizer(sampler, answer)
    if exact and not answer.logp:
        raise BackendError(without_logprobs(sampler.server))
    sampler.read(answer, request)
    return sampler, ""


async def _chat(client: Client, sampler: HttpSampler, names: list[str]) -> HttpSampler:
    server = sampler.server
    try:
        await _try(client, sampler)
    except Refused as refused:
        if names and server.model not in names:
            said = did_you_mean(server.model, [shown(name) for name in names[:50]])
            raise BackendError(f"{server.url} serves no model {server.model!r} ({refused}). {said}") from None
        raise BackendError(f"{server.text} takes neither token ids nor conversations ({refused}).") from None
    except Unfit as unfit:
        raise BackendError(f"{server.text} gives an answer that cannot be used: {unfit}.") from None
    return sampler


async def _try(client: Client, sampler: HttpSampler) -> tuple[Answer, Request]:
    """A short answer, at the settings whose log-probabilities are always those of what was drawn from."""
    prompt = sampler.tokenizer.prompt([Turn("user", "1+1")])
    room = min(PROBE_TOKENS, sampler.context - len(prompt))
    if room < 1:
        raise BackendError(
            f"{sampler.server.text} declares a context of {sampler.context} tokens: too few for any use."
        )
    request = Request(prompt=prompt, seeds=[0], max_tokens=room)
    vocab = None if sampler.chat else sampler.tokenizer.vocab_size
    path, body = sampler.form(request, 0)
    return await client.answer(path, body, lambda: Answer(room, vocab)), request


def _same_tokenizer(sampler: HttpSampler, answer: Answer) -> None:
    """Compare what the server and the tokenizer here make of the same ids."""

    def letters(text: str) -> str:
        # blanks at the ends, and characters whose bytes are not all there yet, may be written differently
        return "".join(text.replace("\ufffd", "").split())

    ends = sampler.tokenizer.eos_ids
    here = letters(sampler.tokenizer.decode(np.array([t for t in answer.tokens if t not in ends], dtype=np.int64)))
    there = letters(answer.text)
    # special tokens are text there and nothing here
    if here not in there and there not in here:
        raise BackendError(
            f"{sampler.server.text} reads the ids {answer.tokens} as {shown(there)!r}, the tokenizer here reads "
            f"{shown(here)!r}: they are not the same. Name that of the served model: tokenizer=FOLDER"
        )


def _declared(card: dict[str, Any]) -> int | None:
    value = card.get("max_model_len")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
