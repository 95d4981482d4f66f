"""Whether a sequence goes round in circles."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any


def loops(items: Sequence[Any], gram: int = 4, brief: tuple[int, int, int] = (30, 100, 200)) -> bool:
    """Whether a run of `gram` items comes three times, two of them closer than a third of the sequence, or one of
    twice `gram` items comes two times.

    Sequences shorter than `brief` are told by runs of 2, by runs of 3, by two occurrences instead of three. A run of
    one and the same item counts among the longer runs only; up to twice `gram` items never repeat.

    >>> loops("abcdefghij"), loops("abcdefabxy"), loops("abcabcxyzu")  # ab twice, but not closer than 10 // 3
    (False, False, False)
    >>> loops("abxabcdefg"), loops("abcdxyabcd"), loops("abab")  # three apart; a run of four twice; too short
    (False, True, False)
    """
    size = len(items)
    if size <= 2 * gram:
        return False
    n = min(2, gram) if size < brief[0] else min(3, gram) if size < brief[1] else gram
    often = 2 if size < brief[2] else 3
    for run, starts in _starts(items, n).items():
        varied = n <= 2 or len(set(run)) > 1
        if varied and len(starts) >= often and any(b - a < size // 3 for a, b in pairwise(starts)):
            return True
    return size >= 4 * n and any(len(starts) > 1 for starts in _starts(items, 2 * n).values())


def _starts(items: Sequence[Any], n: int) -> dict[tuple[Any, ...], list[int]]:
    found: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i in range(len(items) - n + 1):
        found[tuple(items[i : i + n])].append(i)
    return found
