"""Near misses of an answer, and questions whose answers are no whole numbers."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from random import Random
from typing import Any

from strop.tasks._forms import Answer, plain
from strop.tasks._words import CITIES, FIRMS, FIRST_NAMES, JOBS, LAST_NAMES

_FAMILIES = (FIRST_NAMES, LAST_NAMES, CITIES, JOBS, FIRMS)


def near_miss(answer: Answer, random: Random) -> Answer:
    """Another answer of the same kind, such as somebody gets who made one mistake.

    >>> [near_miss(Answer("integer", 47), Random(seed)).value for seed in range(6)]
    [5, 46, 27, 57, 7, -47]
    """
    while True:
        value = _MISSES[answer.kind](answer.value, random)
        if value is not None and value != answer.value:
            return Answer(answer.kind, value)


def trapped(right: Answer, other: Answer, random: Random) -> str:
    """What a policy may try on a verifier: two answers of which one is right, or signs without a meaning.

    >>> [trapped(Answer("integer", 47), Answer("integer", 48), Random(seed)) for seed in (1, 2)]
    ['48 47', 'bc.])q/=/fyt[']
    """
    if random.random() < 0.7:
        both = [plain(right), plain(other)]
        random.shuffle(both)
        return random.choice((" or ", " and ", " ", ", ", "; ")).join(both)
    return "".join(random.choices("abcdefghnoqrtxyz+-*/=()[]{}.,:!? ", k=random.randint(1, 14))).strip() or "?"


def _miss_integer(value: int, random: Random) -> int:
    digits = list(str(abs(value)))
    i = random.randrange(len(digits))
    match random.choice(("off", "off", "digit", "swap", "lost", "sign", "other", "shift")):
        case "off":
            return value + random.choice((-100, -20, -10, -2, -1, 1, 2, 10, 20, 100))
        case "digit":
            digits[i] = random.choice("0123456789")
        case "swap" if i:
            digits[i - 1], digits[i] = digits[i], digits[i - 1]
        case "lost" if len(digits) > 1:
            del digits[i]
        case "sign":
            return -value
        case "other":
            return random.randint(0, max(99, 2 * abs(value)))
        case "shift":
            return 10 * value
        case _:
            pass  # nothing to swap or to lose: the same again, which is drawn anew
    return int("".join(digits)) * (-1 if value < 0 else 1)


def _miss_fraction(value: Fraction, random: Random) -> Fraction | None:
    top, bottom = value.numerator, value.denominator
    match random.choice(("top", "bottom", "inverse", "sign")):
        case "top":
            return Fraction(top + random.choice((-2, -1, 1, 2)), bottom)
        case "bottom":
            return Fraction(top, max(2, bottom + random.choice((-2, -1, 1, 2))))
        case "inverse":
            return Fraction(bottom, top) if top else None
        case _:
            return -value


def _miss_list(value: tuple[int, ...], random: Random) -> tuple[int, ...]:
    found = list(value)
    i = random.randrange(len(found))
    match random.choice(("swap", "lost", "off", "added")):
        case "swap":
            found[i - 1], found[i] = found[i], found[i - 1]
        case "lost" if len(found) > 2:
            del found[i]
        case "added":
            found.insert(i, random.randint(0, 9))
        case _:
            found[i] = max(0, found[i] + random.choice((-10, -1, 1, 10)))
    return tuple(found)


def _miss_set(value: tuple[int, ...], random: Random) -> tuple[int, ...] | None:
    i = random.randrange(len(value))
    change = random.choice((-2 * value[i], -1, 1, 2))
    found = tuple(sorted({*value[:i], value[i] + change, *value[i + 1 :]}))
    return found if len(found) == len(value) else None


def _miss_words(value: str, random: Random) -> str:
    parts = value.split()
    i = random.randrange(len(parts))
    family = next((words for words in _FAMILIES if parts[i] in words), None)
    parts[i] = random.choice(family) if family else random.choice((*CITIES, *JOBS))
    return " ".join(parts)


def _miss_interval(value: tuple[int, int], random: Random) -> tuple[int, int] | None:
    low, high = (end + random.choice((-2, -1, 0, 1, 2)) for end in value)
    return (low, high) if low < high else None


def _miss_expression(value: tuple[int, int], random: Random) -> tuple[int, int] | None:
    factor, rest = value
    if random.random() < 0.3:
        return factor, -rest
    factor, rest = factor + random.choice((-1, 0, 1)), rest + random.choice((-2, -1, 0, 1, 2))
    return (factor, rest) if factor > 0 and rest else None


_MISSES: Mapping[str, Callable[[Any, Random], Any]] = {
    "integer": _miss_integer, "fraction": _miss_fraction, "list": _miss_list, "set": _miss_set, "words": _miss_words,
    "interval": _miss_interval, "expression": _miss_expression,
}  # fmt: skip


def made(random: Random) -> tuple[str, Answer]:
    """A question of strop's own whose answer is no whole number, and the answer.

    >>> made(Random(0))
    ('56<8*x<120', Answer(kind='interval', value=(7, 15)))
    """
    a, b, c = random.randint(2, 9), random.randint(2, 12), random.randint(1, 11)
    match random.choice(("fraction", "set", "interval", "expression")):
        case "fraction":
            top, other = random.randint(1, 9), random.randint(2, 9)
            return f"{top}/{other}+{c}/{b}", Answer("fraction", Fraction(top, other) + Fraction(c, b))
        case "set":
            roots = tuple(sorted(random.sample([n for n in range(-12, 13) if n], random.choice((2, 2, 3)))))
            return "".join(f"(x{-root:+d})" for root in roots) + "=0", Answer("set", roots)
        case "interval":
            low = random.randint(-9, 9)
            return f"{a * low}<{a}*x<{a * (low + b)}", Answer("interval", (low, low + b))
        case _:
            sign = random.choice((-1, 1))
            return f"{a}*(x{sign * c:+d})", Answer("expression", (a, sign * a * c))
