"""Random groups for rewards that look at lengths, the same ones everywhere: what a seed gives is a part of the tests.

`length_reward_numbers.json` holds what the authors' own code gives for them; each of its entries names repository,
commit and function. A group is a list of rows in plain data, from which both sides make what they want.
"""

from random import Random
from typing import Any, NamedTuple

from strop.records import Group, Problem, Trajectory, Verdict, np

SEED, COUNT, LIMIT = 20250522, 1200, 400
"""Groups, and the most tokens a response has."""
PROBLEMS = 150
"""They are drawn from so many problems, so that each comes back."""
BATCH = 25
"""Groups that are one step for what looks at a whole step."""
WORDS = (
    "so", "then", "12", "+", "7", "is", "19", ".", "butter", "checks", "ohm", "Wait", "wait,", "but", "But",
    "however", "check", "double-check", "Double-Check", "hold", "on", "hold", "another", "thought", "think", "again",
    "verify", "verified", "alternatively", "alternative", "oh,", "hmm", "HMM", ".", "=",
)  # fmt: skip


class Row(NamedTuple):
    """One response."""

    right: bool
    """Whether its answer is; known for badly formed responses, too."""
    form: str
    """`well`, `cut` (the thought never ends), `twice` (it ends twice), `empty` (nothing follows it)."""
    thought: str
    tokens: tuple[int, ...]

    @property
    def text(self) -> str:
        """The response, its opening tag included."""
        close = {"well": "</think>", "cut": "", "twice": "</think></think>", "empty": "</think>"}[self.form]
        return f"<think>{self.thought}{close}{'' if self.form in ('cut', 'empty') else self.answer}"

    @property
    def answer(self) -> str:
        return "5" if self.right else "6"


def rows() -> list[tuple[str, list[Row]]]:
    """The id of each group's problem, and its responses."""
    random = Random(SEED)
    return [(f"a/train/{random.randrange(PROBLEMS)}", _group(random)) for _ in range(COUNT)]


def group(problem_id: str, members: list[Row]) -> Group:
    """As strop sees it."""
    problem = Problem(id=problem_id, task="a", prompt=(), reference="5")
    return Group(problem, tuple(_attempt(problem, i, row) for i, row in enumerate(members)))


def _attempt(problem: Problem, sample: int, row: Row) -> Trajectory:
    verdict = Verdict("right" if row.right else "unparsable" if row.form in ("cut", "empty") else "wrong")
    values: Any = {"tokens": np.array(row.tokens), "mask": np.ones(len(row.tokens), dtype=bool)}
    finish = "length" if len(row.tokens) == LIMIT else "stop"
    return Trajectory(problem=problem, sample=sample, text=row.text, verdict=verdict, finish=finish, **values)


def _group(random: Random) -> list[Row]:
    size = random.choice((1, 2, 3, 4, 6, 8, 8, 8, 9, 12))
    accuracy = random.choice((0.0, 1.0, 0.2, 0.4, 0.6, 0.8))
    center = random.choice((6, 20, 60, 150, 300))
    return [_row(random, accuracy, center) for _ in range(size)]


def _row(random: Random, accuracy: float, center: int) -> Row:
    form = random.choices(("well", "cut", "twice", "empty"), (85, 7, 4, 4))[0]
    right = random.random() < accuracy and form != "empty"
    length = LIMIT if form == "cut" else max(1, min(LIMIT, round(random.gauss(center, 0.4 * center))))
    thought = " ".join(random.choice(WORDS) for _ in range(random.choice((0, 3, 12, 60, 150, 250))))
    return Row(right, form, thought, _tokens(random, length))


def _tokens(random: Random, length: int) -> tuple[int, ...]:
    """Without repetition, with some of it, in a loop, or all the same."""
    match random.choice(("rare", "rare", "common", "loop", "same")):
        case "rare":
            return tuple(random.randrange(5000) for _ in range(length))
        case "common":
            return tuple(random.randrange(9) for _ in range(length))
        case "loop":
            period = random.randrange(2, 40)
            start = random.randrange(length)
            return tuple(i if i < start else 1000 + (i - start) % period for i in range(length))
        case _:
            return tuple(7 for _ in range(length))
