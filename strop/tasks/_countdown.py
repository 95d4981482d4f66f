"""Steps, solver and search of the countdown task."""

import functools
import random as stdlib
from typing import NamedTuple

Item = tuple[int, str]
"""A number at hand, and the expression it came from."""
Items = tuple[Item, ...]
"""The numbers at hand, in ascending order."""
HIGHEST = 99
"""No partial result is larger, so that every step is arithmetic on at most two digits."""


class Move(NamedTuple):
    """One step: two numbers at hand become one."""

    left: Item
    sign: str
    right: Item
    value: int

    def line(self, value: int) -> str:
        """The step as it is written, with a value that may be a slip."""
        return f"{self.left[0]}{self.sign}{self.right[0]}={value}"

    def expression(self) -> str:
        return f"({self.left[1]}{self.sign}{self.right[1]})"

    def after(self, items: Items, value: int) -> Items:
        """What is at hand once the step is made."""
        rest = list(items)
        rest.remove(self.left)
        rest.remove(self.right)
        return tuple(sorted([*rest, (value, self.expression())]))


def start(numbers: list[int]) -> Items:
    return tuple((number, str(number)) for number in sorted(numbers))


def draw(numbers: list[int], random: stdlib.Random) -> int:
    """What a random chain of steps makes of the numbers."""
    items = start(numbers)
    for _ in numbers[1:]:
        move = random.choice(moves(items))
        items = move.after(items, move.value)
    return items[0][0]


def moves(items: Items) -> list[Move]:
    """
    >>> [move.line(move.value) for move in moves(start([3, 5]))]
    ['3+5=8', '5-3=2', '3*5=15']
    """
    found: list[Move] = []
    for i, low in enumerate(items):
        for high in items[i + 1 :]:
            a, b = low[0], high[0]
            found += [Move(low, "+", high, a + b), Move(high, "-", low, b - a), Move(low, "*", high, a * b)]
    return [move for move in found if 0 < move.value <= HIGHEST] or found[:1]


@functools.lru_cache(maxsize=1 << 16)
def live(numbers: tuple[int, ...], goal: int) -> bool:
    """Whether the numbers, in ascending order, can make the goal: exhaustive, and blind to how they were drawn.

    >>> live((3, 5, 9), 12), live((1, 1, 1), 7)
    (True, False)
    """
    if len(numbers) == 1:
        return numbers[0] == goal
    for i, a in enumerate(numbers):
        for j in range(i + 1, len(numbers)):
            b = numbers[j]
            rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
            for value in {a + b, b - a, a * b}:
                if 0 < value <= HIGHEST and live(tuple(sorted((*rest, value))), goal):
                    return True
    return False


def values(items: Items) -> tuple[int, ...]:
    return tuple(number for number, _ in items)


def off(value: int, random: stdlib.Random) -> int:
    """A slip of the pen: a wrong result that looks like one."""
    return value + random.choice([by for by in (-10, -2, -1, 1, 2, 10) if value + by > 0])


def good(items: Items, goal: int) -> list[Move]:
    """The steps after which the goal can still be made."""
    return [move for move in moves(items) if live(values(move.after(items, move.value)), goal)]


def walk(numbers: list[int], goal: int, random: stdlib.Random, slips: float) -> tuple[list[str], str]:
    """The steps of the first solution; a slip is a wrong result or a blind step, and the rest makes do with it."""
    words: list[str] = []
    items = start(numbers)
    for _ in numbers[1:]:
        move = next(iter(good(items, goal)), None) or random.choice(moves(items))
        value = move.value
        if random.random() < slips:
            if random.random() < 0.5:
                move = random.choice(moves(items))
                value = move.value
            else:
                value = off(value, random)
        words.append(move.line(value))
        items = move.after(items, value)
    return words, items[0][1][1:-1]


def search(numbers: list[int], goal: int, random: stdlib.Random, slips: float) -> tuple[list[str], str]:
    """A depth-first search; its words, and the last expression it tried, which is a solution unless it slipped."""
    words: list[str] = []
    tried: list[str] = []  # one expression per pair of last numbers
    allowed = random.randint(1, max(1, 6 - len(numbers)))  # pairs of last numbers, before only good steps follow

    def result(move: Move, wish: int | None = None) -> int:
        """Write a step down; a slip may be noticed, and the last steps tend to slip to what is wished for."""
        if random.random() < slips:
            wrong = off(move.value, random)
            if wish is not None and wish != move.value and random.random() < 0.5:
                wrong = wish
            words.append(move.line(wrong))
            if random.random() < 0.5:
                return wrong
            words.append("no, wait")
        words.append(move.line(move.value))
        return move.value

    def last_two(items: Items) -> bool:
        low, high = items
        a, b = low[0], high[0]
        tests = [Move(low, "+", high, a + b)]
        # the sum says which way to go; only a factor of one makes a product smaller than the sum
        if a + b > goal:
            tests.append(Move(high, "-", low, b - a))
        if a + b < goal or (a + b > goal and a == 1):
            tests.append(Move(low, "*", high, a * b))
        tried.append("")
        for move in tests:
            tried[-1] = move.expression()[1:-1]
            if result(move, goal) == goal:
                words.append("yes")
                return True
            words.append("no")
        return False

    def visit(items: Items) -> bool:
        if len(items) == 2:
            return last_two(items)
        right = good(items, goal)
        wrong = [move for move in moves(items) if move not in right]
        random.shuffle(right)
        random.shuffle(wrong)
        came_back = False
        for move in (*wrong[: random.randint(0 if right else 1, 2)], *right):
            if len(tried) >= (allowed if move in wrong else allowed + 1):
                continue
            if came_back:
                words.append(f"back {' '.join(map(str, values(items)))}:")
            rest = move.after(items, result(move))
            words.append(f"left {' '.join(map(str, values(rest)))}:")
            if visit(rest):
                return True
            came_back = True
        return False

    visit(start(numbers))
    return words, tried[-1]
