"""The rule engine: draws pictures that follow a rule, and says which pictures follow it, or any rule of the grammar."""

import functools
import itertools
import random
from collections.abc import Sequence

from strop.curators.visual import Panel
from strop.curators.visual._grammar import ATTRIBUTES, LENGTH, PLACE, Clause, about, parse

SHOWN = LENGTH - 1
WRONG = 3
"""Pictures that break the rule."""


def follows(rule: Sequence[Clause], panels: Sequence[Panel]) -> bool:
    """Whether five pictures follow a rule: each attribute its clause, and those without one stay as they are.

    >>> up = parse(("The size of the shapes goes up by 1 each time.",))
    >>> pictures = [(0, 0, 0, 0, size, 0, 0) for size in range(5)]
    >>> follows(up, pictures), follows(up, pictures[::-1]), follows(up, [*pictures[:4], (1, 0, 0, 0, 4, 0, 0)])
    (True, False, False)
    """
    clause_of = {clause.attribute: clause for clause in rule}
    for attribute, place in PLACE.items():
        values = tuple(panel[place] for panel in panels)
        clause = clause_of.get(attribute)
        if clause is None:
            good = len(set(values)) == 1
        elif clause.base:
            parity = [panel[PLACE[clause.base]] % 2 for panel in panels]
            good = _link(values[:SHOWN], parity[:SHOWN]).get(parity[-1]) == values[-1]
        else:
            good = values in clause.sequences
        if not good:
            return False
    return True


def _link(values: Sequence[int], parity: Sequence[int]) -> dict[int, int]:
    """The value for each parity where the two go together and both were seen; empty otherwise."""
    found = dict(zip(parity, values, strict=True))
    together = len(set(zip(parity, values, strict=True))) == 2 == len(set(values))
    return found if together and len(found) == 2 else {}


@functools.cache
def _next(attribute: str) -> dict[tuple[int, ...], frozenset[int]]:
    """After each four values, the fifth ones that some clause about the attribute alone allows."""
    found: dict[tuple[int, ...], set[int]] = {(value,) * SHOWN: {value} for value in range(ATTRIBUTES[attribute])}
    for clause in about(attribute):
        for sequence in clause.sequences:
            found.setdefault(sequence[:SHOWN], set()).add(sequence[-1])
    return {shown: frozenset(values) for shown, values in found.items()}


def explained(question: Sequence[Panel], option: Panel) -> bool:
    """Whether any rule of the grammar leads from the four pictures to this one; no rule is given."""
    for attribute, place in PLACE.items():
        values = tuple(panel[place] for panel in question)
        allowed = set(_next(attribute).get(values, ()))
        for clause in about(attribute):
            if clause.base:
                base = PLACE[clause.base]
                link = _link(values, [panel[base] % 2 for panel in question])
                allowed |= {link[parity] for parity in (option[base] % 2,) if parity in link}
        if option[place] not in allowed:
            return False
    return True


def solve(question: Sequence[Panel], options: Sequence[Panel]) -> int | None:
    """The only option that some rule of the grammar leads to; None where there is none, or more than one."""
    found = [number for number, option in enumerate(options) if explained(question, option)]
    return found[0] if len(found) == 1 else None


def infer(panels: Sequence[Panel]) -> tuple[str, ...] | None:
    """The sentences of the simplest rule that five pictures follow: an attribute's own clause before a linked one."""
    bullets = []
    for attribute, place in PLACE.items():
        values = tuple(panel[place] for panel in panels)
        if len(set(values)) == 1:
            continue
        fitting = [clause for clause in about(attribute) if values in clause.sequences]
        for clause in about(attribute):
            if clause.base:
                parity = [panel[PLACE[clause.base]] % 2 for panel in panels]
                fitting += [clause] * (_link(values[:SHOWN], parity[:SHOWN]).get(parity[-1]) == values[-1])
        if not fitting:
            return None
        bullets.append(fitting[0].text)
    return tuple(bullets) or None


def draw(bullets: tuple[str, ...], chance: random.Random) -> list[Panel] | None:
    """Five pictures that follow a rule; None where the rule makes no sense or cannot be shown in four pictures."""
    rule = parse(bullets)
    if rule is None:
        return None
    clause_of = {clause.attribute: clause for clause in rule}
    for _ in range(100):
        columns = [[chance.randrange(n)] * LENGTH for n in ATTRIBUTES.values()]
        for clause in rule:
            if not clause.base:
                columns[PLACE[clause.attribute]] = list(chance.choice(_sorted(clause)))
        for clause in rule:
            if clause.base and clause.base in clause_of:
                odd_even = chance.sample(range(ATTRIBUTES[clause.attribute]), 2)
                columns[PLACE[clause.attribute]] = [odd_even[value % 2] for value in columns[PLACE[clause.base]]]
        panels = list(zip(*columns, strict=True))
        if follows(rule, panels):
            return panels
    return None


@functools.cache
def _sorted(clause: Clause) -> list[tuple[int, ...]]:
    return sorted(clause.sequences)


def spoil(bullets: tuple[str, ...], panels: Sequence[Panel], chance: random.Random) -> list[Panel]:
    """Three wrong fifth pictures; with the right one they are all four ways to set two attributes right or wrong.

    So no option stands out: whoever sees the options alone finds each value as often as any other. (Options that each
    change one thing of the answer give it away as the one that shares most with the others.) They are wrong because
    four pictures leave one value for each attribute of the fifth; it is checked where puzzles are put together.
    """
    named = [clause.attribute for clause in parse(bullets) or ()]
    first = chance.choice(named)
    rest = [name for name in named if name != first] or [name for name in ATTRIBUTES if name != first]
    change = {name: _wrong(name, panels, chance) for name in (first, chance.choice(rest))}
    wrong = []
    for size in (1, 2):
        for names in itertools.combinations(change, size):
            panel = list(panels[-1])
            for name in names:
                panel[PLACE[name]] = change[name]
            wrong.append(tuple(panel))
    chance.shuffle(wrong)
    return wrong


def _wrong(attribute: str, panels: Sequence[Panel], chance: random.Random) -> int:
    """Another value: half the time one of those shown before or next to the right one, which a guess would take."""
    place, n = PLACE[attribute], ATTRIBUTES[attribute]
    right = panels[-1][place]
    near = {panel[place] for panel in panels} | {value for value in (right - 1, right + 1) if 0 <= value < n}
    every = set(range(n)) - {right}
    return chance.choice(sorted(near - {right} if chance.random() < 0.5 else every) or sorted(every))
