"""The contract of drawing decoders finds what is wrong with one."""

from typing import ClassVar

import pytest

from strop import contracts
from strop.decoders import Cost, Drawn
from strop.decoders._chains import begin, grow
from strop.piece import piece


@piece
class Mine:
    """Plain attempts drawn piece by piece as a user would write it, with one thing wrong at a time."""

    fault: str = ""

    needs: ClassVar[tuple[str, ...]] = ()
    plain_at_one: ClassVar[bool] = True

    def __call__(self, attempts):
        return len(attempts) if self.fault == "index" and len(attempts) == 3 else 0 if attempts else None

    def draw(self, problems, *, sampler, task, budget, episode, key):
        many = budget + (self.fault == "over")
        if self.fault == "key":
            key = key.fold("other")
        chains = begin(problems, sampler.tokenizer, many)
        if self.fault == "batch":
            chains = [type(c)(c.problem, i, c.prompt) for i, c in enumerate(chains)]
        if self.fault == "inserted" and budget == 1:
            for chain in chains:
                chain.read(sampler.tokenizer.encode("so "))
        grow(chains, [episode.max_tokens] * len(chains), sampler=sampler, episode=episode, key=key)
        for first in range(0, len(chains), many):
            own = chains[first : first + many]
            spent = [c.spent // 2 if self.fault == "cost" else c.spent for c in own]
            cost = Cost(sum(spent), sum(spent), 1) if self.fault == "longest" else Cost.of(spent)
            attempts = tuple(c.trajectory(sampler.tokenizer, 1.0) for c in own)
            if self.fault == "hostile":
                attempts = tuple(t for t in attempts if t.text[0] is not None)
            yield Drawn(own[0].problem, attempts, cost)
            if self.fault == "twice":
                yield Drawn(own[0].problem, attempts, cost)


def broken(fault):
    return [finding.name for finding in contracts.check(Mine(fault=fault), "decoders") if not finding.passed]


def test_without_a_fault_it_is_kept():
    assert broken("") == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("over", "spends no more than its budget"),
        ("cost", "spends no more than its budget"),
        ("longest", "spends no more than its budget"),
        ("key", "draws the plain attempt with a budget of one"),
        ("inserted", "draws the plain attempt with a budget of one"),
        ("index", "draws for every problem once"),
        ("twice", "draws for every problem once"),
        ("batch", "draws for a problem whatever else is asked"),
        ("hostile", "survives hostile text or refuses a sampler without hooks"),
    ],
)
def test_a_fault_is_found(fault, expected):
    assert expected in broken(fault)
