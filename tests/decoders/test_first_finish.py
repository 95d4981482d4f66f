"""First Finish Search, against a batch that is run token by token."""

import random

import numpy as np
import pytest

from strop.decoders.first_finish import FirstFinish
from strop.records import Problem, Trajectory, Verdict

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def attempts(*rows):
    return [
        Trajectory(
            problem=PROBLEM, sample=i, text="", tokens=np.arange(n), finish=how, verdict=Verdict("wrong", a)
        )
        for i, (n, how, a) in enumerate(rows)
    ]  # fmt: skip


def slow(lengths, limit, k):
    """Runs all in step; what each has when k have ended."""
    ended = []
    for step in range(1, limit + 1):
        ended += [i for i, n in enumerate(lengths) if n == step]
        if len(ended) >= k:
            return [min(n, step) for n in lengths], ended[:k]
    return [min(n, limit) for n in lengths], ended[:k]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_lengths_and_cost_are_those_of_a_batch_that_stops(scripted, draw, k):
    for seed in range(60):
        lengths = random.Random(seed).choices((2, 3, 5, 8, 14), k=4)
        sampler = scripted(lambda text, sample, lengths=lengths: "1" * (lengths[sample] - 1))
        found = draw(FirstFinish(k=k), sampler, budget=4, max_tokens=9)
        expected, ended = slow(lengths, 9, k)
        assert [t.length for t in found.attempts] == expected
        assert found.cost.tokens == sum(expected)
        assert found.cost.longest == max(expected)
        if ended:
            judged = [Trajectory(problem=PROBLEM, sample=t.sample, text="", tokens=t.tokens, finish=t.finish,
                                 verdict=Verdict("wrong", str(t.sample))) for t in found.attempts]  # fmt: skip
            assert FirstFinish(k=k)(judged) == ended[0]


def test_the_first_k_vote():
    rows = (9, "stop", "7"), (3, "stop", "6"), (4, "stop", "5"), (5, "stop", "5"), (1, "length", "6")
    assert FirstFinish()(attempts(*rows)) == 1
    assert FirstFinish(k=3)(attempts(*rows)) == 2


def test_without_an_end_the_first_drawn_is_given():
    assert FirstFinish()(attempts((4, "length", "7"), (3, "length", "6"))) == 0
    assert FirstFinish()([]) is None


def test_rollouts_without_tokens_go_by_characters():
    texts = "a long one", "short", "middle"
    rows = [Trajectory(problem=PROBLEM, sample=i, text=text) for i, text in enumerate(texts)]
    assert FirstFinish()(rows) == 1
