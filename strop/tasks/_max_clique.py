"""Graphs, reference and traces of the clique task."""

import itertools
import random as stdlib
from collections.abc import Iterable

from strop.records import Problem

Neighbours = dict[str, set[str]]
"""The letters joined to each letter; keys in alphabetical order."""


def neighbours(edges: list[str]) -> Neighbours:
    near: Neighbours = {}
    for edge in edges:
        u, v = edge.split("-")
        near.setdefault(u, set()).add(v)
        near.setdefault(v, set()).add(u)
    return dict(sorted(near.items()))


def apart(letters: Iterable[str], near: Neighbours) -> str:
    """The first pair that is not joined, a repeated letter included; empty where all are joined.

    >>> apart("abd", neighbours(["a-b", "b-d"])), apart("bd", neighbours(["a-b", "b-d"])), apart("z", {})
    ('a-d', '', 'z-z')
    """
    alone = [f"{u}-{u}" for u in letters if u not in near]
    pairs = [f"{u}-{v}" for u, v in itertools.combinations(letters, 2) if v not in near.get(u, ())]
    return next(iter([*alone, *pairs]), "")


def largest_of(edges: list[str]) -> list[str]:
    """The first of the largest cliques in alphabetical order, by trying every set."""
    near = neighbours(edges)
    sizes = range(len(near), 0, -1)
    sets = itertools.chain.from_iterable(itertools.combinations(near, size) for size in sizes)
    return list(next(letters for letters in sets if not apart(letters, near)))


def joined_to(letters: Iterable[str], letter: str, near: Neighbours, random: stdlib.Random, slips: float) -> list[str]:
    """The letters joined to `letter`; a slip keeps one that is not, or loses one that is."""
    letters = list(letters)
    joined = [v for v in letters if v in near[letter]]
    if letters and random.random() < slips:
        flip = random.choice(letters)
        return [v for v in letters if (v in joined) != (v == flip)]
    return joined


def grow(problem: Problem, random: stdlib.Random, slips: float) -> tuple[list[str], list[str]]:
    """`use a left b c d use c left d use d`: follows the reference while it can; a slip also uses any letter."""
    near = neighbours(problem.reference["edges"])
    left, used, words = list(near), [], []
    while left:
        aims = [v for v in left if v in problem.reference["clique"]]
        letter = (aims or left)[0] if random.random() >= slips else random.choice(left)
        used.append(letter)
        left = joined_to([v for v in left if v != letter], letter, near, random, slips)
        words.append(" ".join(["use", letter, *(["left", *left] if left else [])]))
    return words, sorted(used)


def bound(problem: Problem, random: stdlib.Random, slips: float) -> tuple[list[str], list[str]]:
    """`try a b left d`: a set, and the later letters joined to all of it; each clique comes up once at most.

    A new best is sometimes checked pair by pair, and then a slip is noticed.
    """
    near = neighbours(problem.reference["edges"])
    words: list[str] = []
    best: list[str] = []

    def visit(used: list[str], left: list[str]) -> None:
        nonlocal best
        words.append(" ".join(["try", *used, *(["left", *left] if left else [])]))
        if len(used) + len(left) <= len(best):
            words.append("no")
        elif left:
            for i, letter in enumerate(left):
                if len(used) + len(left) - i > len(best):
                    visit([*used, letter], joined_to(left[i + 1 :], letter, near, random, slips))
        else:
            wrong = apart(used, near)
            if len(used) > 1 and random.random() < (0.5 if wrong else 0.2):
                # the check stops at the first pair that is not joined
                pairs = [f"{u}-{v}" for u, v in itertools.combinations(used, 2)]
                words.append(" ".join(["check", *(pairs[: pairs.index(wrong) + 1] if wrong else pairs)]))
                if wrong:
                    words.append("no, wait")
                    return
                words.append("ok")
            best = used
            words.append("best")

    order = list(near)
    for i, letter in enumerate(order):
        if len(order) - i > len(best):
            visit([letter], joined_to(order[i + 1 :], letter, near, random, slips))
    return words, best
