"""What a model name asks for: a model, and how its answer is found."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from strop import catalogue
from strop.decoders import NEEDS
from strop.errors import ConfigError, did_you_mean
from strop.piece import build

BUDGET = 8
"""Attempts of a decoder whose name has no `@`."""


class Asked(NamedTuple):
    """A model name, taken apart."""

    model: str
    decoder: str = ""
    """A member of the decoders room; empty for the model's plain answer."""
    budget: int = 1


def read_name(name: str, models: Iterable[str]) -> Asked | None:
    """`MODEL`, `MODEL:DECODER` or `MODEL:DECODER@BUDGET` of one of `models`, whose names may have colons too.

    None where there is no such model; `ConfigError` where the decoder or the budget cannot be.

    >>> read_name("nano", ["nano"]), read_name("nano:majority@16", ["nano"])
    (Asked(model='nano', decoder='', budget=1), Asked(model='nano', decoder='majority', budget=16))
    >>> read_name("qwen:0.5b:majority", ["qwen:0.5b", "qwen"]), read_name("gpt", ["nano"])
    (Asked(model='qwen:0.5b', decoder='majority', budget=8), None)
    """
    known = sorted(models, key=len, reverse=True)
    model = next((each for each in known if name == each or name.startswith(f"{each}:")), None)
    if model is None:
        return None
    if name == model:
        return Asked(model)
    decoder, at, budget = name[len(model) + 1 :].partition("@")
    if at and not re.fullmatch(r"[1-9][0-9]{0,5}", budget):
        raise ConfigError(f"{name[:200]!r}: expected a number of attempts after @, such as {model}:majority@16.")
    return Asked(model, _member(decoder), int(budget) if at else BUDGET)


def decoder_named(name: str) -> Any:
    """The decoder, with its defaults; refused where it needs what a conversation does not have."""
    decoder: Any = build(catalogue.load(name, "decoders"), {}, name)
    if reason := unservable(decoder):
        raise ConfigError(f"{name} cannot answer a conversation: {reason}.")
    return decoder


def servable() -> list[str]:
    """The decoders that can answer a conversation."""
    pieces = {entry.name: entry.load() for entry in catalogue.room("decoders")}
    return [name for name, piece in pieces.items() if not unservable(piece)]


def unservable(decoder: Any) -> str:
    """Why a decoder cannot answer a conversation; empty where it can."""
    draws = hasattr(decoder, "draw")
    lacking = [need for need in getattr(decoder, "needs", ()) if need != "answer" and not (draws and need in NEEDS)]
    if lacking:
        return f"it needs a {lacking[0]} of each attempt, and nobody gives one here"
    if hasattr(decoder, "prepare"):
        return "it first has to learn something of the model on a task; strop eval does that"
    return ""


def _member(name: str) -> str:
    """The decoder of that name, of which the beginning is enough where it is one's alone."""
    names = [entry.name for entry in catalogue.room("decoders")]
    flat = re.sub(r"[-_]", "", name).lower()
    hits = [each for each in names if each.replace("_", "") == flat]
    hits = hits or [each for each in names if flat and each.replace("_", "").startswith(flat)]
    if len(hits) != 1:
        raise ConfigError(f"There is no decoder {name[:100]!r}. {did_you_mean(name[:100], names)}")
    return hits[0]
