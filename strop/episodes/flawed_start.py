"""Worked responses up to their first mistake."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from strop.episodes import Sampler
from strop.errors import TaskError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory
from strop.tasks import Style, Task
from strop.text import CLOSE

_EQUATION = re.compile(r"(\d{1,9}) ?([-+*]) ?(\d{1,9}) ?= ?(\d{1,9})")
_SLIPS = (-10, -2, -1, 1, 2, 10)
_TRIES = 8


@piece
class FlawedStart:
    """The beginning of a worked response that ends right after one mistake; everything before it is right.

    Two kinds of mistakes: in a calculation, a step that comes out wrong as the task's own slips make it, or, where the
    task knows no slips, an equation with another result; and in a rule, an equation with another operation, worked out
    correctly. Where a response has no equation, it is the former. It stands in the first step if steps slip at all, and
    what comes after builds on it. A start carries no loss: it is there to be gone on from (`Prefilled.starts`).

    Source: the flawed prefixes of Mixed-CoT-RL (arXiv:2512.17079).

    Departures: in the paper a model writes the mistakes; its other kinds (a dropped term, an unjustified step) have no
    counterpart here.

    >>> from dataclasses import replace
    >>> from strop.tasks.arithmetic import Arithmetic
    >>> class Source:
    ...     class tokenizer:
    ...         def encode(text): return np.array([ord(c) for c in text])
    ...         def prompt(turns): return np.array([7])
    >>> problem = Arithmetic(levels=(2,)).problem("train", 0)
    >>> def start(**kind):
    ...     told = FlawedStart(**kind)([problem], sampler=Source(), task=Arithmetic(), samples=1, key=Key.root(0))
    ...     return next(told).text
    >>> problem.question, start(rule_share=0.0), start(rule_share=1.0)
    ('42+50+41', '<think>42+50=102', '<think>42*50=2100')
    """

    style: Style = "short"
    """How the response thinks."""
    rule_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the problems whose mistake is in a rule."""

    replays: ClassVar[bool] = True

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        for problem in problems:
            for sample in range(samples):
                text = self._start(problem, task, key.fold("flawed", problem.id, sample))
                tokens = np.asarray(sampler.tokenizer.encode(text), dtype=np.int64)
                yield Trajectory(
                    problem=problem,
                    sample=sample,
                    text=text,
                    finish="length",
                    origin="expert",
                    prompt_tokens=sampler.tokenizer.prompt(problem.prompt),
                    tokens=tokens,
                    mask=np.zeros(len(tokens), dtype=bool),
                    logp=np.full(len(tokens), np.nan, dtype=np.float32),
                )

    def _start(self, problem: Problem, task: Task, key: Key) -> str:
        worked = task.write(problem, self.style, key)
        if worked is None:
            raise TaskError(f"Problem {problem.id} has no worked response to begin with. Map its solution field.")
        is_rule = key.fold("kind").random().random() < self.rule_share
        start = _miscalculated(worked, key) if is_rule else None
        return start or self._slip(problem, task, key) or _miscalculated(worked, key, rule=False) or ""

    def _slip(self, problem: Problem, task: Task, key: Key) -> str:
        for number in range(_TRIES):
            own = key.fold("slip", number)
            right, wrong = (task.write(problem, self.style, own, slips) or "" for slips in (0.0, 1.0))
            if start := _slipped(right, wrong):
                return start
        return ""


def _slipped(worked: str, flawed: str) -> str:
    """The thought of `flawed` up to the end of the first word in which it differs; empty where it does not.

    >>> _slipped("<think>2+3=5 5+1=6</think>6", "<think>2+3=5 5+1=7 7</think>7")
    '<think>2+3=5 5+1=7'
    >>> _slipped("<think>2+3</think>5", "<think>2+3</think>6")
    ''
    """
    right, wrong = (text.partition(CLOSE)[0].split(" ") for text in (worked, flawed))
    place = next((i for i, (one, other) in enumerate(zip(right, wrong, strict=False)) if one != other), None)
    return "" if place is None else " ".join(wrong[: place + 1])


def _miscalculated(worked: str, key: Key, rule: bool = True) -> str | None:
    """The response up to its first equation, with another operation or another result there; None where there is none.

    >>> _miscalculated("so 7-2=5, and", Key.root(0)), _miscalculated("so 7-2=5, and", Key.root(0), rule=False)
    ('so 7+2=9', 'so 7-2=3')
    """
    found = _EQUATION.search(worked)
    if found is None:
        return None
    random = key.fold("mistake").random()
    left, sign, right = int(found[1]), found[2], int(found[3])
    values = {"+": left + right, "-": left - right, "*": left * right}
    if rule:
        # an operation that happens to come out the same would be no mistake
        others = [other for other, value in values.items() if other != sign and value != int(found[4]) and value >= 0]
        if not others:
            return None
        sign = random.choice(others)
        result = values[sign]
    else:
        result = random.choice([r for slip in _SLIPS if (r := int(found[4]) + slip) >= 0])
    return f"{worked[: found.start()]}{left}{sign}{right}={result}"
