"""How an answer is found in a response, and how a number, a word or LaTeX is read."""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

LONGEST = 1000
"""Characters of an answer; a longer one is no answer but a thought."""
TAIL = 20_000
"""Characters at the end of a response in which a formula, a number or "answer is" is looked for."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_ANCHOR = re.compile(r"(?i)\banswer\b(?:[ \t]+(?!is\b)[\w'’]{1,20}){0,6}(?:[ \t]+is\b[ \t]*:?|[ \t*]{0,4}[:=])")
_MATH = re.compile(
    r"\$\$(?P<display>[^$]{1,1000})\$\$"
    # as in pandoc: no blank inside the dollars, no digit after them, so that prices are not formulas
    r"|(?<![\\$\d])\$(?P<inline>(?=\S)(?:\\.|[^$\\\n]){1,1000}(?<=\S))\$(?!\d)"
    r"|\\\((?P<round>(?:(?!\\\)).){1,1000})\\\)"
    r"|\\\[(?P<square>(?:(?!\\\]).){1,1000})\\\]",
    re.DOTALL,
)
_NUMBER_IN_TEXT = re.compile(
    r"-?\\frac\{\d{1,50}\}\{\d{1,50}\}"
    r"|(?<![\w.\\])(?:(?<!\))-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))(?:/\d+)?(?:[ ]?\\?%)?"
)
_FUNCTIONS = ("pi", "theta", "alpha", "beta", "infty", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp")

_NAMES = (*_FUNCTIONS, "sqrt", "oo", "inf", "infinity")
_DECIMAL = re.compile(
    r"(?P<sign>[-+]?)(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?P<part>\.\d*)?(?:[eE](?P<power>[-+]?\d{1,3}))?(?P<rest>.*)"
)
_RATIO = re.compile(r"(?P<sign>[-+]?)(?:(?P<whole>\d+)\s+)?(?P<top>\d+)/(?P<bottom>\d+)")
_FRAC = re.compile(r"(?P<sign>[-+]?)(?P<whole>\d*)\\frac\{(?P<top>\d+)\}\{(?P<bottom>\d+)\}")
_BASED = re.compile(r"(\d+)_\{?(\d{1,2})\}?")
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_GLUED = ("mm", "cm", "m", "km", "in", "ft", "yd", "mi", "mg", "g", "kg", "lb", "lbs", "oz", "ml", "l", "s", "min", "h")
"""Units that may follow a number without a blank."""
_NO_UNIT = (*_NAMES, "am", "pm", "or", "and", "to", "plus", "minus", "times", "over", "by", "less", "more")
"""Words after a number that change what it says."""

_UNICODE = str.maketrans(
    {"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ",
     "≥": r"\ge ", "²": "^2", "³": "^3", "°": r"^\circ ", "∪": r"\cup ", "θ": r"\theta ", "\u2044": "/", "\u00a0": " "}
)  # fmt: skip
_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:oo|inf|infinity)(?![A-Za-z])")
_PLAIN_NAMES = re.compile(rf"(?<![A-Za-z\\])({'|'.join(_FUNCTIONS)})(?![A-Za-z])")


class Decimal(NamedTuple):
    """A number as it was written."""

    value: Fraction
    digits: int = 0
    """Significant digits of a decimal that may have been rounded; 0 where the number is exact."""
    unit: Fraction = Fraction(0)
    """What one unit of its last digit is worth; 0 where the number is exact."""
    percent: bool = False


def find_answer(text: str) -> str | None:
    """The part of a response (after its thought) that states the answer; the first rule that applies decides.

    1. the last `\\boxed{...}`;  2. what follows the last `####`;  3. what follows the last "answer is" or "answer:",
    there the first formula or number;  4. the last formula between `$`, `\\(` or `\\[`;  5. the whole text where it is
    one short expression, name or quantity;  6. the last number.

    >>> find_answer(r"so \\boxed{\\frac{1}{2}}."), find_answer("3 apples\\n#### 1,080")
    ('\\\\frac{1}{2}', '1,080')
    >>> find_answer("The answer is $5, for 2."), find_answer("It costs $5 or $x+1$.")
    ('5', 'x+1')
    >>> find_answer("(3, pi/2)"), find_answer("She has 7 apples in 2 bags"), find_answer("no")
    ('(3, pi/2)', '2', 'no')
    """
    box = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if box >= 0 and (command := _BOX.match(text, box)):
        return _braced(text, command.end())
    if "####" in text:
        line = text.rpartition("####")[2].strip()
        return line.split("\n", 1)[0].strip() or None
    text = text[-TAIL:]
    anchors = list(_ANCHOR.finditer(text))
    if anchors:
        line = text[anchors[-1].end() :].strip().split("\n", 1)[0]
        formula = _MATH.search(line)
        if formula and not re.search(r"\d", line[: formula.start()]):
            return _formula(formula)
        return _whole(line) or _number_in(line[: 2 * LONGEST], last=False) or line or None
    formulas = list(_MATH.finditer(text))
    if formulas:
        return _formula(formulas[-1])
    return _whole(text) or _number_in(text[-2 * LONGEST :], last=True)


def canonical_answer(text: str) -> str | None:
    """The answer that a response states, written so that equal ones are equal texts: numbers as fractions, the rest
    as `tidy` spells it. None where there is none, or where it is too long to be one.

    >>> canonical_answer("so it is 1,080."), canonical_answer("\\boxed{0.50}"), canonical_answer("$x+1$")
    ('1080', '1/2', 'x+1')
    """
    found = find_answer(text)
    if not found or len(found) > LONGEST:
        return None
    number = read_number(found)
    return str(number.value) if number is not None else tidy(found) or None


def _formula(match: re.Match[str]) -> str | None:
    return next(part for part in match.groups() if part is not None).strip() or None


def _braced(text: str, start: int) -> str | None:
    """What stands in the braces that open at `start`, or the one word there; None where they never close."""
    if start >= len(text) or text[start] != "{":
        word = re.match(r"[^\s$.,;]+", text[start : start + LONGEST])
        return word.group() if word else None
    depth = 0
    for end in range(start, min(len(text), start + 2 * LONGEST)):
        if text[end] in "{}" and (end == start or text[end - 1] != "\\"):
            depth += 1 if text[end] == "{" else -1
            if depth == 0:
                return text[start + 1 : end].strip() or None
    return None


def _whole(text: str) -> str | None:
    text = text.strip().strip("*").strip().removesuffix(".").strip()
    if not text or "\n" in text:
        return None
    bare = re.sub(r"\\(?:text|mbox|begin|end|mathrm|textbf)\s*\{[^{}]*\}", " ", text)
    words = [word for word in re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", bare) if word not in _NAMES]
    alone = not words or (len(words) == 1 and not re.search(r"\d", bare))
    return text if alone or read_number(text) is not None else None


def _number_in(text: str, last: bool) -> str | None:
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", text.translate(_UNICODE))
    numbers = [match.group() for match in _NUMBER_IN_TEXT.finditer(text) if match.group()]
    return numbers[-1 if last else 0] if numbers else None


def tidy(text: str) -> str:
    """One spelling for what is only spelt differently: blanks, thin spaces, currency, `\\left`, `\\dfrac`, a full stop.

    >>> tidy(r"\\$32,\\!348."), tidy(r"\\left( 3, \\dfrac{1}{2} \\right)"), tidy("−5")
    ('32,348', '( 3, \\\\frac{1}{2} )', '-5')
    """
    text = text.translate(_UNICODE).strip().strip("*").strip()
    text = re.sub(r"\\[!,;: ]|~|\\(?:left|right|displaystyle)(?![A-Za-z])", "", text).replace("{,}", ",")
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", text)
    text = text.removesuffix(".").strip()
    if len(text) > 1 and text[0] == text[-1] == "$":
        text = text[1:-1]
    text = re.sub(r"^(-?)(?:\\?\$|[€£¥₹])\s*(?=[-\d.])", r"\1", text)
    return " ".join(text.split())


def read_text(text: str) -> str:
    """A word answer: no `\\text{}`, quotation marks or brackets around it, lower case.

    >>> read_text(r"\\text{(C)}"), read_text("Evelyn"), read_text(r"\\textbf{New  York}")
    ('c', 'evelyn', 'new york')
    """
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\\(?:text|textbf|textit|mathrm|mbox|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = " ".join(text.split()).strip("\"'`*$ ").removesuffix(".").strip()
    if re.fullmatch(r"\([^()]*\)", text) and "," not in text:
        text = text[1:-1]
    return text.strip().lower()


def is_words(text: str) -> bool:
    """Whether a read text is names or a choice, not mathematics.

    >>> [is_words(t) for t in ("evelyn", "new york", "c", "x", "2k", "\\\\pi")]
    [True, True, True, True, False, False]
    """
    return bool(re.fullmatch(r"[^\W\d_]|[^\W\d_]{2,}(?:[ '’-][^\W\d_]{2,})*", text))


def read_number(text: str) -> Decimal | None:
    """A number with or without thousands separators, percent sign, unit or scale word, a ratio, or a plain fraction.

    >>> read_number("1,080 dollars").value, read_number("2.5 million").value, read_number("1 3/4").value
    (Fraction(1080, 1), Fraction(2500000, 1), Fraction(7, 4))
    >>> read_number("12.50%"), read_number("5x"), read_number("10 am"), read_number("1/0")
    (Decimal(value=Fraction(25, 2), digits=4, unit=Fraction(1, 100), percent=True), None, None, None)
    """
    text = tidy(text)
    ratio = _RATIO.fullmatch(text) or _FRAC.fullmatch(text)
    if ratio:
        if int(ratio["bottom"]) == 0:
            return None
        value = int(ratio["whole"] or 0) + Fraction(int(ratio["top"]), int(ratio["bottom"]))
        return Decimal(-value if ratio["sign"] == "-" else value)
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match["whole"] or (match["part"] or ".") != "."):
        return None
    rest = _rest(match["rest"])
    if rest is None:
        return None
    scale, percent = rest
    whole, part = match["whole"].replace(",", ""), (match["part"] or ".")[1:]
    unit = Fraction(10) ** (int(match["power"] or 0) - len(part)) * scale
    value = int(whole + part) * unit * (-1 if match["sign"] == "-" else 1)
    # a whole number is exact; the digits of a decimal may have been rounded
    return Decimal(value, len((whole + part).lstrip("0")), unit, percent) if part else Decimal(value, percent=percent)


def _rest(text: str) -> tuple[int, bool] | None:
    """What follows a number, as a scale and whether it says percent; None where it is more than a unit."""
    glued = text[:1] not in (" ", "")
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}", r" \1", text).strip()
    text = re.sub(r"\^\{?(?:\\circ|[23])\}?$", "", text).strip()
    if re.fullmatch(r"\\?%|(?i:percent|pct)", text):
        return 1, True
    if not text:
        return 1, False
    words = re.findall(r"[a-z]+", text.lower())
    if not re.fullmatch(r"[A-Za-z][A-Za-z .'/-]*", text) or not words or words[0] in _NO_UNIT:
        return None
    if words[0] in _SCALES:
        return _SCALES[words[0]], False
    if glued or len(words[0]) == 1:
        return (1, False) if text.lower() in _GLUED else None
    return 1, False


def read_based(text: str) -> tuple[str, int] | None:
    """Digits and base of a number such as `52_8`.

    >>> read_based("4210_{5}"), read_based("52")
    (('4210', 5), None)
    """
    match = _BASED.fullmatch(tidy(text).replace(" ", ""))
    return (match[1], int(match[2])) if match else None


def same_based(answer: tuple[str, int], gold: tuple[str, int]) -> bool:
    """Digits in the same base, or without one, are compared as they are; two different bases by value."""
    if answer[1] in (0, gold[1]):
        return answer[0].lstrip("0") == gold[0].lstrip("0")
    try:
        return int(*answer) == int(*gold)
    except ValueError:  # a digit that the base does not have
        return False


def read_reference(reference: object) -> str:
    """A reference as text; of a worked solution, its final answer.

    >>> read_reference(145.0), read_reference("9 * 2 = 18\\n#### 18"), read_reference(r"\\frac{1}{2}")
    ('145', '18', '\\\\frac{1}{2}')
    """
    if isinstance(reference, float) and reference.is_integer():
        reference = int(reference)
    text = str(reference).strip()
    return (find_answer(text) or text) if "####" in text or "\\boxed" in text else text


def right_side(text: str) -> str:
    """What stands after the last equals sign outside braces.

    >>> right_side("x = 2+3 = 5"), right_side(r"\\sum_{i=1}^{10} i"), right_side(r"x \\le 5")
    ('5', '\\\\sum_{i=1}^{10} i', 'x \\\\le 5')
    """
    depth = start = 0
    for i, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == "=" and depth == 0 and text[i - 1 : i] not in ("<", ">", "!"):
            start = i + 1
    return text[start:].strip()


def to_latex(text: str) -> str:
    """Plain mathematics as LaTeX; text that already has commands keeps them.

    >>> to_latex("sqrt(2)/2 + x**10"), to_latex(r"\\frac{1}{2}"), to_latex("e^(2*pi)")
    ('\\\\sqrt{2}/2 + x^{10}', '\\\\frac{1}{2}', 'e^{2*\\\\pi }')
    """
    text = text.translate(_UNICODE).replace("**", "^")
    text = re.sub(r"(?<![A-Za-z\\])sqrt(?=\s*\()|√(?=\s*\()", r"\\sqrt", text)
    text = re.sub(r"√\s*(\d+)", r"\\sqrt{\1}", text)
    text = _PLAIN_NAMES.sub(r"\\\1 ", _INFINITY.sub(r"\\infty ", text))
    text = re.sub(r"\^(-?\d{2,}|-\d)", r"^{\1}", text)
    return _rebrace(text)


def _rebrace(text: str) -> str:
    """Round brackets after `\\sqrt` or `^` become braces."""
    out: list[str] = []
    closers: list[str] = []
    for i, letter in enumerate(text):
        if letter == "(":
            braces = text[:i].endswith("^") or text[max(0, i - 5) : i].endswith("\\sqrt")
            closers.append("}" if braces else ")")
            out.append("{" if braces else "(")
        elif letter == ")" and closers:
            out.append(closers.pop())
        else:
            out.append(letter)
    return "".join(out)
