"""Clauses, solver and traces of the k-SAT task."""

import itertools
import random as stdlib

from strop.records import Problem

Clause = list[int]
"""Literals: 1 is `a`, -1 is not `a`, 2 is `b` ..."""
BACKS = 1
"""How often a trace goes back before its decisions follow a solution."""


def letter(variable: int) -> str:
    return chr(ord("a") + variable - 1)


def text(clause: Clause) -> str:
    """
    >>> text([1, -2, 4])
    'a|-b|d'
    """
    return "|".join(("-" if literal < 0 else "") + letter(abs(literal)) for literal in clause)


def spell(chosen: tuple[bool, ...]) -> str:
    return " ".join(f"{letter(i)}={value:d}" for i, value in enumerate(chosen, 1))


def holds(clause: Clause, chosen: tuple[bool, ...]) -> bool:
    return any(chosen[abs(literal) - 1] == (literal > 0) for literal in clause)


def find_all(clauses: list[Clause], count: int) -> list[tuple[bool, ...]]:
    every = itertools.product((False, True), repeat=count)
    return [chosen for chosen in every if all(holds(clause, chosen) for clause in clauses)]


def dpll(problem: Problem, random: stdlib.Random, slips: float, guess: bool) -> tuple[list[str], str]:
    """DPLL and its words; without `guess` each decision follows a solution, so there is nothing to go back to.

    A slip is a wrong value, or a falsified clause taken for a good one; with `guess` half of the wrong values are
    noticed at once.
    """
    count, clauses = problem.reference["variables"], problem.reference["clauses"]
    solutions = find_all(clauses, count)
    words: list[str] = []
    trail: dict[int, bool] = {}
    decided: list[int] = []
    missed: list[Clause] = []
    backs = 0

    def assign(variable: int, value: bool, lead: str, risk: float) -> bool:
        slip = random.random() < risk
        words.append(f"{lead} {letter(variable)}={value ^ slip:d}")
        if slip and guess and random.random() < 0.5:
            words.append(f"no, wait {letter(variable)}={value:d}")
            slip = False
        trail[variable] = value ^ slip
        return slip

    while True:
        clause = next((c for c in clauses if c not in missed and asks(c, trail) is not None), None)
        if clause is None:
            variable = next((v for v in range(1, count + 1) if v not in trail), None)
            if variable is None:
                words.append("ok")
                break
            agreeing = [s for s in solutions if all(s[v - 1] == value for v, value in trail.items())]
            coin = (guess and backs < BACKS) or not agreeing
            value = random.random() < 0.5 if coin else agreeing[0][variable - 1]
            assign(variable, value, "try", 0.0 if coin else slips)
            decided.append(variable)
        elif literals := asks(clause, trail):
            if assign(abs(literals[0]), literals[0] > 0, f"{text(clause)} so", slips):
                missed.append(clause)
        elif not guess or random.random() < slips:
            missed.append(clause)
        else:
            words.append(f"{text(clause)} no")
            if not decided:
                break
            backs += 1
            last = decided.pop()
            kept = list(trail)[: list(trail).index(last)]
            trail = {v: trail[v] for v in kept} | {last: not trail[last]}
            words.append("back " + " ".join(f"{letter(v)}={value:d}" for v, value in trail.items()))
            missed.clear()
    return words, spell(tuple(trail.get(v, False) for v in range(1, count + 1)))


def asks(clause: Clause, trail: dict[int, bool]) -> list[int] | None:
    """The open literals of a clause that is falsified (none) or unit (one); None where it asks for nothing yet."""
    left = [literal for literal in clause if abs(literal) not in trail]
    held = any(trail.get(abs(literal)) == (literal > 0) for literal in clause)
    return None if held or len(left) > 1 else left
