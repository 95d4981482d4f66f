"""How many different things a model says and answers."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Trajectory
from strop.statistics import bootstrap


@piece
class Diversity:
    """Distinct n-grams corrected for length (EAD), distinct answers, and the entropy of answers.

    EAD(O) = mean over n = 1..`orders` of U_n / (V (1 - ((V-1)/V)^C_n)), with U_n distinct and C_n all n-grams of the
    texts O, and V the vocabulary. Plain distinct-n falls with length, EAD does not. All problems are compared at equal
    numbers of attempts: the first K, where K is the fewest that any problem has.

    Logged: `problems`; `samples`, that K; `ead_per_problem`, the mean over problems of EAD(attempts of a problem);
    `ead_across_problems`, EAD(first attempt of every problem); `distinct_answers`, the mean number of different answers
    to a problem; `answer_entropy`, the mean entropy of a problem's answers, nats; `ci`, 95 % bootstrap intervals over
    problems of the means. Attempts without a readable answer give no answer.

    Source: arXiv:2310.06452; EAD is arXiv:2202.13587.
    Departures: n-grams are of words where token ids are unknown; measures that need another model (sentence
    embeddings, NLI) are left out; answers are added, since reasoning texts differ where answers do not.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> verdicts = [Verdict("right", "5"), Verdict("wrong", "6")]
    >>> rows = tuple(Trajectory(problem=problem, sample=i, text="x", verdict=v) for i, v in enumerate(verdicts))
    >>> found = Diversity()([Group(problem, rows)])
    >>> found["distinct_answers"], round(found["answer_entropy"], 4)
    (2.0, 0.6931)
    """

    orders: Annotated[int, Field(ge=1, le=10)] = 5
    """The longest n-gram."""
    vocabulary: Annotated[int, Field(ge=2)] = 50_257
    """V, words or tokens; keep it the same for whatever is compared."""

    def __call__(self, groups: Sequence[Group]) -> dict[str, Any]:
        groups = sorted((group for group in groups if len(group)), key=lambda group: group.problem.id)
        if not groups:
            raise ConfigError("Diversity needs at least one problem with an attempt, got none.")
        fewest = min(map(len, groups))
        attempts = [group.trajectories[:fewest] for group in groups]
        answers = [Counter(a for t in each if (a := _answer(t)) is not None) for each in attempts]
        values = {
            "ead_per_problem": np.array([self._ead([_units(t) for t in each]) for each in attempts]),
            "distinct_answers": np.array([float(len(each)) for each in answers]),
            "answer_entropy": np.array([_entropy(each) for each in answers]),
        }
        key = Key.root(0).fold("probes", "diversity")
        return {
            "problems": len(groups),
            "samples": fewest,
            **{name: float(each.mean()) for name, each in values.items()},
            "ead_across_problems": self._ead([_units(each[0]) for each in attempts]),
            "ci": {name: list(bootstrap(each, key)) for name, each in values.items()},
        }

    def _ead(self, texts: Sequence[Sequence[Any]]) -> float:
        """0 where no text has an n-gram of an order."""
        v = self.vocabulary
        parts = []
        for n in range(1, self.orders + 1):
            grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
            # expm1 keeps the digits that (1 - 1/V)^C loses for few n-grams
            expected = -v * math.expm1(len(grams) * math.log1p(-1 / v))
            parts.append(len(set(grams)) / expected if grams else 0.0)
        return sum(parts) / len(parts)


def _units(attempt: Trajectory) -> list[Any]:
    return attempt.text.split() if attempt.tokens is None else attempt.tokens.tolist()


def _answer(attempt: Trajectory) -> str | None:
    return None if attempt.verdict is None or attempt.verdict.outcome == "unparsable" else attempt.verdict.answer


def _entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return sum(n / total * math.log(total / n) for n in counts.values())
