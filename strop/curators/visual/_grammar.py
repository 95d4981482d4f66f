"""The rules that need no model: what a picture can show, and the sentences that say how it goes on.

A picture shows a number of equal shapes and a dot on its edge: seven attributes, each a small whole number. A clause is
a sentence about one attribute together with the finite set of all five-picture sequences that obey it, so that whether
pictures follow a rule is a look-up. A `link` ties an attribute to whether another one is odd. An attribute that no
bullet names stays as it is.
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

ATTRIBUTES = {"count": 12, "shape": 8, "colour": 6, "fill": 3, "size": 5, "dot": 8, "ground": 3}
"""Each attribute and how many values it has: 1 to 12 shapes, the dot clockwise from the top left corner, and so on."""
NAMES = {
    "count": "The number of shapes", "shape": "The kind of shape", "colour": "The colour of the shapes",
    "fill": "The filling of the shapes", "size": "The size of the shapes", "dot": "The dot on the edge",
    "ground": "The shade of the background",
}  # fmt: skip
PLACE = {name: place for place, name in enumerate(ATTRIBUTES)}
LENGTH = 5
"""Pictures that follow a rule: four are shown, the fifth is the answer."""
_PARITY = {
    "count": "one where the number of shapes is odd, and another where it is even",
    "dot": "one where the dot is in a corner, and another where it is on a side",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence about one attribute and what it means."""

    attribute: str
    kind: str
    text: str
    sequences: frozenset[tuple[int, ...]]
    """Every sequence that obeys it; empty for linked clauses, whose meaning depends on another attribute."""
    base: str = ""
    """The other attribute of a linked clause."""


def _moves(attribute: str) -> Iterator[tuple[str, str, frozenset[tuple[int, ...]]]]:
    """Kind, how the sentence goes on, and sequences, of every clause about an attribute but the linked ones."""
    n = ATTRIBUTES[attribute]
    pairs = itertools.permutations(range(n), 2)
    yield "alternation", "goes back and forth between two", frozenset((a, b, a, b, a) for a, b in pairs)
    triples = itertools.permutations(range(n), 3)
    yield "cycle", "goes round through three, in turn", frozenset((a, b, c, a, b) for a, b, c in triples)
    if attribute == "dot":
        for step in (1, 2, 3, -1, -2, -3):
            way = f"moves {abs(step)} place{'s' * (abs(step) > 1)} {'clockwise' if step > 0 else 'back'} each time"
            yield "progression", way, frozenset(tuple((a + step * i) % n for i in range(LENGTH)) for a in range(n))
        turns = ((0, 1, 3, 6, 10), (0, -1, -3, -6, -10))
        for name, way in zip(("clockwise", "back"), turns, strict=True):
            text = f"moves {name}, one place farther each time"
            yield "growth", text, frozenset(tuple((a + by) % n for by in way) for a in range(n))
    if attribute in ("count", "size"):
        for step in (1, -1, 2, -2) if attribute == "count" else (1, -1):
            way = f"goes {'up' if step > 0 else 'down'} by {abs(step)} each time"
            yield "progression", way, _inside(n, [[a + step * i for i in range(LENGTH)] for a in range(n)])
    if attribute == "count":
        for way, sign in (("up", 1), ("down", -1)):
            text = f"goes {way} by one more each time"
            yield "growth", text, _inside(n, [[a + sign * by for by in (0, 1, 3, 6, 10)] for a in range(n)])
        # values count from 0, numbers of shapes from 1
        yield (
            "sum",
            "is that of the two before it together",
            _inside(
                n,
                [[a - 1, b - 1, a + b - 1, a + 2 * b - 1, 2 * a + 3 * b - 1] for a in range(1, n) for b in range(1, n)],
            ),
        )


def _inside(n: int, sequences: list[list[int]]) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(each) for each in sequences if all(0 <= value < n for value in each))


@functools.cache
def clauses() -> dict[str, Clause]:
    """Every clause by its sentence.

    >>> len(clauses()), sorted(clauses()["The size of the shapes goes up by 1 each time."].sequences)
    (39, [(0, 1, 2, 3, 4)])
    """
    found = [
        Clause(attribute, kind, f"{NAMES[attribute]} {text}.", sequences)
        for attribute in ATTRIBUTES
        for kind, text, sequences in _moves(attribute)
    ]
    for attribute, base in itertools.product(("shape", "colour", "fill", "ground"), _PARITY):
        found.append(Clause(attribute, "link", f"{NAMES[attribute]} is {_PARITY[base]}.", frozenset(), base))
    return {clause.text: clause for clause in found}


def parse(bullets: tuple[str, ...]) -> tuple[Clause, ...] | None:
    """The clauses of a rule in the order of their attributes; None where one is unknown or two speak of one attribute.

    >>> parse(("The colour goes mad.",)) is None
    True
    """
    found = [clauses().get(bullet) for bullet in bullets]
    known = [clause for clause in found if clause is not None]
    if not known or len(known) < len(found) or len({clause.attribute for clause in known}) < len(known):
        return None
    return tuple(sorted(known, key=lambda clause: PLACE[clause.attribute]))


@functools.cache
def about(attribute: str) -> tuple[Clause, ...]:
    """The clauses about one attribute."""
    return tuple(clause for clause in clauses().values() if clause.attribute == attribute)
