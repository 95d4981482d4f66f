"""A rule while it lives on an island."""

from dataclasses import dataclass

from strop.curators.visual import Rule


@dataclass
class Member:
    """A rule whose use still changes."""

    rule: Rule
    used: int = 0
    """Times it was a parent so far."""


def fitness(rule: Rule, used: int, noise: float) -> float:
    """How fit a rule is; `noise` lies between 0.8 and 1.

    >>> new = Rule(id="a", bullets=(), tag="", depth=3, mutated=True)
    >>> round(fitness(new, 0, 1.0), 4), round(fitness(new, 5, 1.0), 4)
    (1.012, 0.792)
    """
    spread = 0.4 / (1 + 0.2 * used) + 0.4 * min(1.0, 0.5 + 0.1 * rule.depth) + 0.2 * noise
    return spread * (1.1 if rule.mutated else 1.0)
