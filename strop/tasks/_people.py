"""Invented people: a fixed world of facts, the questions about it by split, and strangers outside it."""

from collections.abc import Mapping
from functools import lru_cache
from random import Random
from typing import NamedTuple

from strop.keys import Key
from strop.tasks._words import CITIES, FIRMS, FIRST_NAMES, JOBS, LAST_NAMES

NAMES = tuple(f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES)
BOSS = "boss"
VALUES: Mapping[str, tuple[str, ...]] = {
    "born": tuple(str(year) for year in range(1950, 1990)),
    "city": CITIES,
    "job": JOBS,
    "firm": FIRMS,
    BOSS: NAMES,
}
"""Each attribute and what it may be."""
OWN = tuple(attribute for attribute in VALUES if attribute != BOSS)
"""Attributes that a second hop may end in."""
FORMS = ("{0} of {1}", "{1} {0}", "what is the {0} of {1}")
"""Wordings of a question, given attribute and person."""


class Questions(NamedTuple):
    """What one split may ask about the world."""

    facts: tuple[tuple[str, str, int], ...]
    """Person, attribute and wording."""
    pairs: tuple[tuple[str, str], ...]
    """Person, and the attribute of their boss."""


def draw_value(attribute: str, random: Random, avoid: str = "") -> str:
    """A value of an attribute other than `avoid`."""
    return random.choice([value for value in VALUES[attribute] if value != avoid])


@lru_cache(maxsize=8)
def make_world(people: int, world: int) -> Mapping[str, Mapping[str, str]]:
    """The facts of a world, by person and attribute; bosses are people of the same world."""
    random = Key.root(world).fold("biographies", "world").random()
    names = random.sample(NAMES, people)
    return {
        name: {attribute: draw_value(attribute, random) for attribute in OWN}
        | {BOSS: random.choice([other for other in names if other != name])}
        for name in names
    }


@lru_cache(maxsize=8)
def strangers(people: int, world: int) -> tuple[str, ...]:
    """Names that nobody in the world has."""
    return tuple(name for name in NAMES if name not in make_world(people, world))


@lru_cache(maxsize=8)
def questions(people: int, world: int) -> tuple[Questions, Questions]:
    """The questions of `train` and of every other split; they share none, and `train` asks for every fact.

    >>> train, heldout = questions(40, 0)
    >>> len(train.facts), len(heldout.facts), len(train.pairs), len(heldout.pairs)
    (480, 120, 128, 32)
    """
    key = Key.root(world).fold("biographies", "split")

    def shuffled(kind: str, attributes: tuple[str, ...]) -> list[tuple[str, str]]:
        """Sorted by hash, so that exact shares can be cut off the front."""
        known = make_world(people, world)
        pairs = [(person, attribute) for person in known for attribute in attributes]
        return sorted(pairs, key=lambda pair: key.fold(kind, *pair).digest)

    asked = shuffled("fact", tuple(VALUES))
    hidden = {(*fact, rank % len(FORMS)) for rank, fact in enumerate(asked[: len(asked) * 3 // 5])}
    wordings = [(*fact, form) for fact in asked for form in range(len(FORMS))]
    pairs = shuffled("pair", OWN)
    cut = len(pairs) // 5
    return (
        Questions(tuple(w for w in wordings if w not in hidden), tuple(pairs[cut:])),
        Questions(tuple(w for w in wordings if w in hidden), tuple(pairs[:cut])),
    )
