"""The expression reader against Python's own, on texts small enough to be safe there."""

import re
import time
from fractions import Fraction
from random import Random

import pytest

from strop.tasks._expression import evaluate


def python_value(text):
    """Python's value with exact division; None for what Python refuses and for signs, powers, calls."""
    squeezed = re.sub(r" *([-+*/()]) *", r"\1", text).strip()
    if re.search(r"(^|[-+*/(])[-+*/]|[0-9)]\(|\)[0-9]", squeezed):
        return None
    try:
        value = eval(re.sub(r"([0-9]+)", r"Fraction('\1')", squeezed), {"Fraction": Fraction})
    except (SyntaxError, ZeroDivisionError, TypeError):
        return None
    return value if isinstance(value, Fraction) else None


def test_agrees_with_python():
    random = Random(1)
    texts = ["".join(random.choice("1230+-*/()  ") for _ in range(random.randint(1, 9))) for _ in range(30_000)]
    values = {text: (evaluate(text), python_value(text)) for text in texts}
    assert [t for t, (actual, expected) in values.items() if actual != expected] == []
    assert sum(actual is not None for actual, _ in values.values()) > 500


def test_precedence_and_associativity():
    actual = [evaluate(t) for t in ("2+3*4", "(2+3)*4", "20-5-3", "20-(5-3)", "48/4/2", "1/3+1/6")]
    assert actual == [14, 20, 12, 18, 6, Fraction(1, 2)]


def test_whole_values_are_int():
    assert type(evaluate("8/2")) is int
    assert type(evaluate("8/3")) is Fraction


@pytest.mark.parametrize(
    "text",
    ["", " ", "()", "(", ")", "1)", ")1(", "+1", "1+-1", "1 1", "2(3)", "(1)2", "1.5", "1e3", "1_0", "٣", "²", "a",
     "2**3", "5//2", "1/0", "1/(2-2)", "1\n+1", "__import__('os')", "1,2", "1=1"],
)  # fmt: skip
def test_malformed(text):
    assert evaluate(text) is None


def test_hostile_length_and_depth():
    start = time.perf_counter()
    assert evaluate("(" * 10**6 + "1" + ")" * 10**6) is None
    assert evaluate("(" * 5000 + "1" + ")" * 5000, max_length=20_000) == 1
    assert evaluate("9*" * 5000 + "9", max_length=20_000) == 9**5001
    assert evaluate("9" * 5000, max_length=20_000) is None
    assert time.perf_counter() - start < 2


def test_length_limit():
    assert evaluate("1" * 200) == int("1" * 200)
    assert evaluate("1" * 201) is None
