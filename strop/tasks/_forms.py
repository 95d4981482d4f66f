"""Ways to write one answer: what rule verifiers reject although it is right, by class.

The seven classes are those of TinyV (arXiv:2505.14625). A form is a function that writes an answer in another way, or
says with None that it has no way to write this one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Any, Literal, NamedTuple

from strop.tasks._words import THINGS

Kind = Literal["integer", "fraction", "list", "set", "words", "interval", "expression"]
"""`list` has an order and `set` has none; `interval` is open; `expression` is linear in x."""
CLASSES = ("formatting", "notation", "expression", "numeric", "language", "structure", "symbols")
"""What differs between an answer and the same answer in another form; numbered from 1 as difficulties."""

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


class Answer(NamedTuple):
    """What an answer says, whatever it looks like."""

    kind: Kind
    value: Any
    """int, Fraction, numbers in order, sorted numbers, text, both ends, or the factors of x and of 1."""


class Form(NamedTuple):
    """One way to write answers."""

    name: str
    group: str
    """Its class."""
    write: Callable[[Answer, Random], str | None]


def read(text: str) -> Answer | None:
    """A reference as tasks write it; None for what is no whole number, list of numbers, word or name.

    >>> read("-47"), read("3 8 1"), read("nora shaw"), read("x+1")
    (Answer(kind='integer', value=-47), Answer(kind='list', value=(3, 8, 1)), Answer(kind='words', value='nora shaw'), None)
    """  # noqa: E501
    if re.fullmatch(r"-?[0-9]{1,6}", text):
        return Answer("integer", int(text))
    if re.fullmatch(r"[0-9]{1,6}(?: [0-9]{1,6})+", text):
        return Answer("list", tuple(map(int, text.split())))
    return Answer("words", text) if re.fullmatch(r"[a-z]+(?: [a-z]+)?", text) else None


def plain(answer: Answer) -> str:
    """The usual form.

    >>> plain(Answer("set", (3, 5))), plain(Answer("interval", (2, 9))), plain(Answer("expression", (2, -6)))
    ('3, 5', '(2, 9)', '2*x-6')
    """
    value = answer.value
    match answer.kind:
        case "list":
            return " ".join(map(str, value))
        case "set":
            return ", ".join(map(str, value))
        case "interval":
            return f"({value[0]}, {value[1]})"
        case "expression":
            return f"{value[0]}*x{value[1]:+d}"
        case _:
            return str(value)


def in_words(number: int) -> str:
    """
    >>> in_words(47), in_words(-310), in_words(21_005)
    ('forty seven', 'minus three hundred ten', 'twenty one thousand five')
    """
    if number < 0:
        return f"minus {in_words(-number)}"
    parts: list[str] = []
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            parts += [in_words(number // size), name]
            number %= size
    if number >= 20:
        parts.append(_TENS[number // 10])
        number %= 10
    return " ".join([*parts, _SMALL[number]] if number or not parts else parts)


def in_roman(number: int) -> str:
    """
    >>> in_roman(47), in_roman(1994)
    ('XLVII', 'MCMXCIV')
    """
    found = ""
    for size, letters in _ROMAN:
        found += letters * (number // size)
        number %= size
    return found


def _markup(answer: Answer, random: Random) -> str:
    return random.choice(("\\boxed{{{}}}", "**{}**", "$\\text{{{}}}$")).format(plain(answer))


def _unit(answer: Answer, random: Random) -> str | None:
    unit = random.choice((*THINGS, "cm", "kg", "years"))
    return f"{plain(answer)} {unit}" if answer.kind in ("integer", "fraction") else None


def _context(answer: Answer, random: Random) -> str:
    return random.choice(("= {}", "so {}", "{} (checked)", "result {}")).format(plain(answer))


def _decimal(answer: Answer, random: Random) -> str | None:
    if answer.kind == "integer":
        return f"{answer.value}{random.choice(('.0', '.00'))}"
    if answer.kind != "fraction" or (1000 * answer.value).denominator != 1:
        return None
    whole, part = divmod(abs(int(1000 * answer.value)), 1000)
    sign = "-" if answer.value < 0 else ""
    return f"{sign}{whole}{random.choice('.,')}{part:03d}".rstrip("0")


def _ratio(answer: Answer, random: Random) -> str | None:
    match answer.kind:
        case "integer":
            return random.choice((f"{answer.value}/1", f"{answer.value}:1"))
        case "fraction":
            top, bottom = answer.value.numerator, answer.value.denominator
            return random.choice((f"{top}:{bottom}", f"\\frac{{{top}}}{{{bottom}}}"))
        case "interval":
            low, high = answer.value
            return random.choice((f"{low} < x < {high}", f"]{low}, {high}[", f"x > {low} and x < {high}"))
        case _:
            return None


def _signed(answer: Answer, random: Random) -> str | None:
    return f"+{answer.value}" if answer.kind == "integer" and answer.value > 0 else None


def _unreckoned(answer: Answer, random: Random) -> str | None:
    """An expression of the same value."""
    if answer.kind == "integer":
        part = random.randint(1, max(2, abs(answer.value)))
        return random.choice((f"{answer.value - part}+{part}", f"{answer.value + part}-{part}"))
    if answer.kind == "expression":
        factor, rest = answer.value
        forms = [f"{rest}+{factor}*x", f"{factor}x{rest:+d}"]
        forms += [f"{factor}*(x{rest // factor:+d})"] if rest % factor == 0 else []
        return random.choice(forms)
    return None


def _expanded(answer: Answer, random: Random) -> str | None:
    """A fraction that is not in lowest terms."""
    if answer.kind not in ("integer", "fraction"):
        return None
    factor = random.choice((2, 3, 4, 5, 10))
    value = Fraction(answer.value)
    return f"{value.numerator * factor}/{value.denominator * factor}"


def _scientific(answer: Answer, random: Random) -> str | None:
    if answer.kind != "integer" or abs(answer.value) < 10:
        return None
    power = len(str(abs(answer.value))) - 1
    digits = str(abs(answer.value))
    text = ("-" if answer.value < 0 else "") + f"{digits[0]}.{digits[1:]}"
    return text + random.choice((f"e{power}", f"*10^{power}"))


def _mixed(answer: Answer, random: Random) -> str | None:
    if answer.kind != "fraction" or answer.value < 1 or answer.value.denominator == 1:
        return None
    whole, rest = divmod(answer.value.numerator, answer.value.denominator)
    return f"{whole} {rest}/{answer.value.denominator}"


def _number_words(answer: Answer, random: Random) -> str | None:
    if answer.kind == "integer":
        words = in_words(answer.value)
        return random.choice((words, words.replace(" ", "-"), words.capitalize()))
    return ", ".join(map(in_words, answer.value)) if answer.kind == "list" and max(answer.value) < 100 else None


def _sentence(answer: Answer, random: Random) -> str:
    return random.choice(("the answer is {}", "it is {}", "i get {}", "answer: {}")).format(plain(answer))


def _assignment(answer: Answer, random: Random) -> str | None:
    return f"{random.choice(('x = ', 'x=', 'x is '))}{plain(answer)}" if answer.kind != "expression" else None


def _brackets(answer: Answer, random: Random) -> str | None:
    # round ones would make an interval of a set
    forms = ("[{}]", "{{{}}}") if answer.kind == "set" else ("[{}]", "({})", "{{{}}}")
    return None if answer.kind == "interval" else random.choice(forms).format(plain(answer))


def _delimiter(answer: Answer, random: Random) -> str | None:
    if answer.kind not in ("list", "set"):
        return None
    return random.choice(("; ", ",", " | ", "\\, ")).join(map(str, answer.value))


def _order(answer: Answer, random: Random) -> str | None:
    """A set in another order, a name with the last part first."""
    if answer.kind == "set":
        return random.choice(("{}", "{{{}}}")).format(", ".join(map(str, reversed(answer.value))))
    parts = answer.value.split() if answer.kind == "words" else []
    return f"{parts[1]}, {parts[0]}" if len(parts) == 2 else None


def _listed(answer: Answer, random: Random) -> str | None:
    if answer.kind == "set":
        return random.choice((" or ", " and ")).join(f"x={number}" for number in answer.value)
    return " then ".join(map(str, answer.value)) if answer.kind == "list" else None


def _letter(answer: Answer, random: Random) -> str | None:
    letter = random.choice("ynkt")
    if answer.kind == "expression":
        return plain(answer).replace("x", letter)
    return f"{letter} = {plain(answer)}"


def _subscript(answer: Answer, random: Random) -> str | None:
    if answer.kind == "set":
        return ", ".join(f"x_{i}={number}" for i, number in enumerate(answer.value, start=1))
    return f"x_0 = {plain(answer)}" if answer.kind == "integer" else None


def _roman(answer: Answer, random: Random) -> str | None:
    return in_roman(answer.value) if answer.kind == "integer" and 0 < answer.value < 4000 else None


FORMS: tuple[Form, ...] = (
    Form("markup", "formatting", _markup),
    Form("unit", "formatting", _unit),
    Form("context", "formatting", _context),
    Form("decimal", "notation", _decimal),
    Form("ratio", "notation", _ratio),
    Form("signed", "notation", _signed),
    Form("unreckoned", "expression", _unreckoned),
    Form("expanded", "numeric", _expanded),
    Form("scientific", "numeric", _scientific),
    Form("mixed", "numeric", _mixed),
    Form("number_words", "language", _number_words),
    Form("sentence", "language", _sentence),
    Form("assignment", "language", _assignment),
    Form("brackets", "structure", _brackets),
    Form("delimiter", "structure", _delimiter),
    Form("order", "structure", _order),
    Form("listed", "structure", _listed),
    Form("letter", "symbols", _letter),
    Form("subscript", "symbols", _subscript),
    Form("roman", "symbols", _roman),
)
"""Every way to write an answer but the usual one."""
NAMES: Mapping[str, Form] = {form.name: form for form in FORMS}


def rewritten(answer: Answer, random: Random, names: Sequence[str] = ()) -> tuple[str, Form] | None:
    """The answer in one of the forms named (of all where none is), and which; classes are equally likely.

    >>> rewritten(Answer("integer", 47), Random(0), ("number_words",))[1].name
    'number_words'
    """
    chosen = [NAMES[name] for name in names] if names else list(FORMS)
    groups = list(dict.fromkeys(form.group for form in chosen))
    random.shuffle(groups)
    for group in groups:
        forms = [form for form in chosen if form.group == group]
        random.shuffle(forms)
        for form in forms:
            text = form.write(answer, random)
            if text is not None:
                return text, form
    return None
