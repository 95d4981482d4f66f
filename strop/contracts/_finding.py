"""How a check says that a property does not hold."""

import copy
import json
from typing import Any


class Broken(Exception):
    """A property does not hold; the message says what was seen."""


def ensure(holds: Any, message: str) -> None:
    """Raise `Broken` with `message` unless `holds`."""
    if not bool(holds):
        raise Broken(message)


def ensure_json(value: Any, what: str) -> None:
    """`value` comes back from JSON as it was."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Broken(f"{what} must be plain JSON data: {error}") from None
    ensure(again == value, f"{what} must come back from JSON as it was (no tuples, no number keys), got {value!r}")


def ensure_untouched(before: Any, after: Any, what: str) -> None:
    """Nobody changed `after` in place since `before` was copied from it."""
    ensure(before == after, f"{what} must not be changed in place")


def copied(value: Any) -> Any:
    """A copy to compare with later."""
    return copy.deepcopy(value)
