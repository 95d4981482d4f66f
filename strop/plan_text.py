"""A response that plans before it works: a short plan, a marker, then the execution that follows the plan.

The form is E2C's (arXiv:2509.23946), where tags of their own enclose both parts and `<EXECUTION>` is the marker; the
bundled model plans in its thought, and `so` is the marker. What a plan consists of is told by its headings.
"""

import re
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np

MARKER = "<EXECUTION>"
"""Where the execution begins."""
MOST = 64
"""Headings that are read of one text, words that are read of one heading: whoever wrote them may have written many."""
OVERLAP = 0.3
"""Share of common words from which a heading counts as taken up; in E2C's code the same."""
_TAGS = re.compile(r"\s*(?:</?[A-Za-z]{1,20}>\s*)*")
_NUMBERED = re.compile(r"^[ \t#]*[0-9]{1,2}\.[ \t]+([^\n]+)", re.MULTILINE)
_EQUATION = re.compile(r"([0-9]{1,12}) ?([-+*/]) ?([0-9]{1,12}) ?= ?([0-9]{1,12})")


class Planned(NamedTuple):
    """A response in its two parts."""

    plan: str
    execution: str
    """Everything after the marker, the answer included."""


def split_plan(response: str, marker: str = MARKER) -> Planned | None:
    """The two parts of a response, without the tags around the plan; None where the marker is missing.

    >>> split_plan("<think>3*8 47+ so 3*8=24 47+24=71</think>71", " so")
    Planned(plan='3*8 47+', execution='3*8=24 47+24=71</think>71')
    >>> split_plan("<think>47+24=71</think>71", " so")
    """
    plan, found, execution = response.partition(marker)
    if not found:
        return None
    begin = _TAGS.match(plan)
    plan = plan[begin.end() if begin else 0 :].rstrip()
    return Planned(plan.removesuffix("</EXPLORATION>").rstrip(), execution.strip())


def headings(text: str) -> list[str]:
    """The headings of a plan or an execution: its numbered lines, or its words where no line has a number.

    >>> headings("1. **Factor**\\n2. Solve both\\nso x = 1.5"), headings("3*8 47+")
    (['Factor', 'Solve both'], ['3*8', '47+'])
    """
    numbered = [found.replace("**", "").strip() for found in _NUMBERED.findall(text)]
    return (numbered or text.split())[:MOST]


def adherence(plan: str, execution: str) -> float:
    """The share of the plan's headings that a heading of the execution holds, or shares enough words with; 0 without
    any.

    >>> adherence("3*8 47+ 9-", "3*8=24 47+24=71")
    0.6666666666666666
    """
    wanted, there = headings(plan), headings(execution)
    return sum(any(_taken_up(one, other) for other in there) for one in wanted) / max(1, len(wanted))


def _taken_up(heading: str, other: str) -> bool:
    return heading in other or common_words(heading, other) > OVERLAP


def common_words(one: str, other: str) -> float:
    """Words of the longest common subsequence, as a share of the words of the shorter text.

    >>> common_words("add the two", "first Add all two numbers")
    0.6666666666666666
    """
    a, b = one.lower().split()[:MOST], other.lower().split()[:MOST]
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        last = row
        row = [0]
        for j, same in enumerate(b):
            row.append(last[j] + 1 if word == same else max(last[j + 1], row[j]))
    return row[-1] / min(len(a), len(b))


def distil(solution: str) -> str:
    """A solution's plan: its numbered headings, or the operations of its equations without what they result in; empty
    where it has neither.

    A number that an earlier equation came to is left out, as who plans does not know it yet.

    >>> distil("3*8=24 47+24=71 71-12=59"), distil("1. Factor\\nx^2 = 1\\n2. Solve"), distil("it is 5")
    ('3*8 47+ -12', '1. Factor\\n2. Solve', '')
    """
    lines = [found.strip() for found in _NUMBERED.findall(solution)][:MOST]
    if lines:
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    known: list[str] = []
    steps: list[str] = []
    for left, sign, right, result in _EQUATION.findall(solution)[:MOST]:
        for number in (left, right):
            if number in known:
                known.remove(number)
                left, right = ("", right) if number == left else (left, "")
        steps.append(f"{left}{sign}{right}")
        known.append(result)
    return " ".join(steps)


def similarity(one: str, other: str) -> float:
    """How alike two plans are, 0 to 1: twice the matching characters over all of them.

    >>> similarity("3*8 47+", "3*8 47+"), similarity("ab", "cd")
    (1.0, 0.0)
    """
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def tokens_until(tokens: Any, decode: Callable[[np.ndarray], str], marker: str) -> int | None:
    """How many tokens it takes until their text holds the marker; None where it never does.

    >>> tokens_until(np.array([60, 97, 98, 99]), lambda ids: "".join(map(chr, ids)), "ab")
    3
    """
    tokens = np.asarray(tokens)
    if marker not in decode(tokens):
        return None
    low, high = 0, len(tokens)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if marker in decode(tokens[:middle]) else (middle, high)
    return high
