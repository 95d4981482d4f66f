"""A bounded, exact reader of arithmetic expressions; never `eval`, never recursion."""

import re
from collections.abc import Callable
from fractions import Fraction

# a longer number falls into two, which no grammar allows side by side; int() itself refuses beyond 4,300 digits
_TOKEN = re.compile(r"[0-9]{1,1000}|[-+*/()]")
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}
_APPLY: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def evaluate(text: str, max_length: int = 200) -> int | Fraction | None:
    """The exact value of `text`, or None for anything malformed, too long, or divided by zero.

    Whole numbers in ASCII digits, `+ - * /`, parentheses and blanks. No signs before a number and no powers, so a
    value has at most as many digits as the text; work grows with the number of tokens, whatever the nesting.

    >>> evaluate("23*4+7"), evaluate("2*(3-5)"), evaluate("10-3-2"), evaluate("7/2"), evaluate("6/2")
    (99, -4, 5, Fraction(7, 2), 3)
    >>> [evaluate(text) for text in ("", "2+", "2 3", "-3", "2(3)", "(2", "2**3", "1/0", "x", "9" * 201)]
    [None, None, None, None, None, None, None, None, None, None]
    """
    if len(text) > max_length:
        return None
    values: list[Fraction] = []
    waiting: list[str] = []

    def settle(strength: int) -> bool:
        """Apply the waiting operators that bind at least as strongly as `strength`; False on division by zero."""
        while waiting and _BINDS.get(waiting[-1], 0) >= strength:
            right, left = values.pop(), values.pop()
            operator = waiting.pop()
            if operator == "/" and right == 0:
                return False
            values.append(_APPLY[operator](left, right))
        return True

    after_value = False
    end = 0
    for match in _TOKEN.finditer(text):
        if text[end : match.start()].strip(" "):
            return None
        end = match.end()
        token = match[0]
        # a value or "(" may only follow an operator, an operator or ")" only a value
        if (token in _BINDS or token == ")") != after_value:
            return None
        if token == "(":
            waiting.append(token)
        elif token == ")":
            if not settle(1) or not waiting:
                return None
            waiting.pop()
        elif token in _BINDS:
            if not settle(_BINDS[token]):
                return None
            waiting.append(token)
            after_value = False
        else:
            values.append(Fraction(int(token)))
            after_value = True
    if text[end:].strip(" ") or not after_value or not settle(1) or waiting:
        return None
    value = values[0]
    return int(value) if value.denominator == 1 else value
