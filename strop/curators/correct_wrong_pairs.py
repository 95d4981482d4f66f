"""A right and a wrong attempt at the same problem."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Trajectory


@piece
class CorrectWrongPairs:
    """Preference pairs: groups of exactly two attempts, the right one first.

    Right and wrong attempts are put in a random order; each right one takes the first wrong one with another text that
    is left, so no attempt is used twice. Wrong and unparsable attempts can be rejected ones; a `timeout` or an `error`
    says nothing about the answer and makes no pair. The rewards of a pair become 1 and 0, so that whoever ranks by
    reward sees the same order. Problems without a pair give no group.

    Source: iterative reasoning preference optimisation (arXiv:2404.19733, section 2).
    Departures: the paper pairs with replacement where one side is short; here the shorter side sets the number.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> verdicts = [Verdict("wrong"), Verdict("right"), Verdict("timeout")]
    >>> rows = (Trajectory(problem=problem, sample=i, text=str(i), verdict=v) for i, v in enumerate(verdicts))
    >>> [pair] = CorrectWrongPairs()([Group(problem, tuple(rows))], Key.root(0))
    >>> [(t.sample, t.reward) for t in pair.trajectories]
    [(1, 1.0), (0, 0.0)]
    """

    per_problem: Annotated[int, Field(ge=1)] = 1
    """How many pairs a problem gives at most."""

    def __call__(self, groups: Sequence[Group], key: Key) -> list[Group]:
        return [pair for group in groups for pair in self._pairs(group, key.fold(group.problem.id))]

    def _pairs(self, group: Group, key: Key) -> list[Group]:
        right = self._shuffled(group, ("right",), key)
        wrong = self._shuffled(group, ("wrong", "unparsable"), key)
        pairs: list[Group] = []
        for chosen in right:
            rejected = next((t for t in wrong if t.text != chosen.text), None)
            if rejected is None or len(pairs) == self.per_problem:
                continue
            wrong.remove(rejected)
            pair = replace(chosen, reward=1.0), replace(rejected, reward=0.0)
            pairs.append(Group(group.problem, pair))
        return pairs

    def _shuffled(self, group: Group, outcomes: tuple[str, ...], key: Key) -> list[Trajectory]:
        rows = [
            t for t in group.trajectories if not t.dropped and t.verdict is not None and t.verdict.outcome in outcomes
        ]
        key.fold(outcomes[0]).random().shuffle(rows)
        return rows
