"""Worked responses: a chain of steps, each of which may go wrong, be rechecked and be repaired."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from strop.tasks import Style

S = TypeVar("S")

RECHECKED = 0.4
"""Share of the steps that a long thought does a second time."""


def walk(
    start: S, steps: Sequence[Callable[[S, bool], tuple[str, S]]], style: Style, random: Random, slips: float
) -> tuple[str, S]:
    """The thought in a style, and the state it arrives at.

    A step takes the state and whether to go wrong, and gives its line (empty where there is nothing to say) and the
    next state. A long thought rechecks some steps without looking at whether they slipped; where the recheck disagrees
    it does the step once more and goes on from there.

    >>> double = lambda value, wrong: (f"{value}*2={value * 2 + wrong}", value * 2 + wrong)
    >>> walk(3, [double, double], "short", Random(0), 0.0)
    ('3*2=6 6*2=12', 12)
    >>> walk(3, [double, double], "short", Random(0), 1.0)
    ('3*2=7 7*2=15', 15)
    >>> walk(3, [double, double], "long", Random(2), 0.3)
    ('3*2=6 6*2=13 check 6*2=12 no, wait. again 6*2=12', 12)
    """
    words: list[str] = []
    state = start
    for step in steps:
        line, after = step(state, random.random() < slips)
        if line:
            words.append(line)
        if line and style == "long" and random.random() < RECHECKED:
            second, checked = step(state, random.random() < slips)
            words.append(f"check {second}")
            if checked == after:
                words.append("ok")
            else:
                third, after = step(state, random.random() < slips)
                words.append(f"no, wait. again {third}")
        state = after
    return "" if style == "direct" else " ".join(words), state
