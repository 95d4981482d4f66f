"""Chains of sums, differences and small products."""

from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style
from strop.text import join_thought, split_thought

Level = Annotated[int, Field(ge=1, le=12)]


@piece
class Arithmetic:
    """Evaluate a chain such as `47+3*8-12`; level `n` has `n` operations outside products.

    Every partial result stays within 0 and 999. Source: strop's own; the shape follows the chain_sum family of
    procedural data sets.
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (2, 3, 4)
    """Difficulties to draw from, evenly: operations in the chain."""
    seed: int = 0
    """Which stream of problems; two seeds share nothing."""

    name: ClassVar[str] = "arithmetic"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        random = Key.root(self.seed).fold(self.name, split, index).random()
        level = random.choice(self.levels)
        terms: list[list[int]] = []
        signs: list[int] = []
        total = 0
        for _ in range(level + 1):
            term = [random.randint(2, 9), random.randint(2, 9)] if random.random() < 0.3 else [random.randint(1, 99)]
            value = term[0] * term[1] if len(term) == 2 else term[0]
            sign = -1 if terms and total - value >= 0 and (total + value > 999 or random.random() < 0.5) else 1
            terms.append(term)
            signs.append(sign)
            total += sign * value
        return Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=(Turn("user", _expression(terms, signs)),),
            reference=str(total),
            difficulty=level,
            data={"terms": terms, "signs": signs},
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = split_thought(response).answer
        # isdecimal alone would let other scripts' digits through, int() would let underscores and blanks through
        if answer is None or len(answer) > 12 or not (answer.isascii() and answer.lstrip("-").isdecimal()):
            return Verdict("unparsable", detail="expected one whole number after </think>")
        value = str(int(answer)) if answer.count("-") <= 1 else answer
        return Verdict("right" if value == problem.reference else "wrong", answer=value)

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        random = key.random()

        def slip(value: int) -> int:
            return value if random.random() >= slips else max(0, value + random.choice((-10, -2, -1, 1, 2, 10)))

        total, lines = _steps(problem, slip)
        if style == "direct":
            return join_thought("", str(total))
        if style == "short":
            return join_thought(" ".join(line for line, _ in lines), str(total))
        return join_thought(*_reflect(lines, problem, random.random, slip))

    def corrupt(self, problem: Problem, key: Key) -> str:
        wrong = int(problem.reference) + key.random().choice((-10, -1, 1, 10))
        return join_thought(self.write(problem, "short", key).split("</think>")[0].removeprefix("<think>"), str(wrong))


def _expression(terms: list[list[int]], signs: list[int]) -> str:
    """
    >>> _expression([[47], [3, 8], [12]], [1, 1, -1])
    '47+3*8-12'
    """
    parts = [("-" if sign < 0 else "+") + "*".join(map(str, term)) for term, sign in zip(terms, signs, strict=True)]
    return "".join(parts).removeprefix("+")


def _steps(problem: Problem, slip: Callable[[int], int]) -> tuple[int, list[tuple[str, int]]]:
    """The final value and each line of the chain with the value it arrives at."""
    lines: list[tuple[str, int]] = []
    total = 0
    for i, (term, sign) in enumerate(zip(problem.data["terms"], problem.data["signs"], strict=True)):
        value = term[0]
        if len(term) == 2:
            value = slip(term[0] * term[1])
            lines.append((f"{term[0]}*{term[1]}={value}", value))
        if i == 0:
            total = value
            continue
        after = slip(total + sign * value)
        lines.append((f"{total}{'+' if sign > 0 else '-'}{value}={after}", after))
        total = after
    return total, lines


def _reflect(
    lines: list[tuple[str, int]], problem: Problem, chance: Callable[[], float], slip: Callable[[int], int]
) -> tuple[str, str]:
    """A long thought: steps are rechecked, and a recheck that fails restarts the chain from the top."""
    words: list[str] = []
    for line, value in lines:
        words.append(line)
        if chance() < 0.4:
            left, _ = line.split("=")
            redo = slip(_evaluate(left))
            words.append(f"check {left}={redo}")
            if redo != value:
                again, fresh = _steps(problem, slip)
                words += ["no, wait. again", *(text for text, _ in fresh)]
                return " ".join(words), str(again)
            words.append("ok")
    return " ".join(words), str(lines[-1][1])


def _evaluate(expression: str) -> int:
    """
    >>> _evaluate("12*3"), _evaluate("12-3"), _evaluate("12+3")
    (36, 9, 15)
    """
    for sign in "*+-":
        left, found, right = expression.partition(sign)
        if found:
            return int(left) * int(right) if sign == "*" else int(left) + (int(right) if sign == "+" else -int(right))
    return int(expression)
