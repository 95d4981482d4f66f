"""Attempts dealt out over checkpoints."""

import itertools
import random

import numpy as np
import pytest

from strop.decoders.temporal_sampling import TemporalSampling, best_checkpoint
from strop.errors import ConfigError
from strop.keys import Key
from strop.records import Problem, Trajectory, Verdict

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def tried(name, said, scores=None):
    """Attempts of a checkpoint; `5` is right, None could not be read."""
    return [
        Trajectory(problem=PROBLEM, sample=i, text="", checkpoint=name, reward=scores[i] if scores else 0.0,
                   verdict=Verdict("unparsable") if a is None else Verdict("right" if a == "5" else "wrong", a))
        for i, a in enumerate(said)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "budget", "expected"),
    [(1, 5, (5,)), (2, 5, (3, 2)), (4, 10, (3, 3, 2, 2)), (4, 2, (1, 1, 0, 0)), (3, 3, (1, 1, 1))],
)
def test_the_newest_come_first_in_turn(turns, budget, expected):
    assert TemporalSampling(checkpoints=turns).quota(budget) == expected


def test_pass_is_the_share_of_all_pools_with_a_right_answer():
    attempts = {"1": tried("1", "5666"), "2": tried("2", "6665"), "10": tried("10", "6655")}
    for turns, budget in ((1, 2), (2, 3), (3, 4), (3, 5)):
        decoder = TemporalSampling(checkpoints=turns)
        newest = ["10", "2", "1"][:turns]
        sets = [itertools.combinations(attempts[n], k) for n, k in zip(newest, decoder.quota(budget), strict=True)]
        pools = list(itertools.product(*sets))
        expected = np.mean([any(t.verdict.score for part in pool for t in part) for pool in pools])
        actual = decoder.measure(attempts, budget, Key.root(0))["pass"]
        assert actual == pytest.approx(expected), (turns, budget)


def test_majority_and_best_are_means_over_pools():
    draw = random.Random(1)
    attempts = {
        name: tried(name, [draw.choice(["5", "6", "7", None]) for _ in range(5)], [draw.random() for _ in range(5)])
        for name in ("1", "2")
    }
    decoder = TemporalSampling(checkpoints=2, repeats=4000)
    sets = [itertools.combinations(attempts[name], 2) for name in ("2", "1")]
    majority, best = [], []
    for parts in itertools.product(*sets):
        pool = [t for part in parts for t in part]
        said = [t.verdict.answer for t in pool if t.verdict.answer is not None]
        top = max(dict.fromkeys(said), key=lambda a: (said.count(a), -said.index(a))) if said else None
        majority.append(top == "5")
        read = [t for t in pool if t.verdict.answer is not None]
        best.append(bool(read) and max(read, key=lambda t: t.reward).verdict.score == 1)
    actual = decoder.measure(attempts, 4, Key.root(0))
    # 4,000 pools of a share near one half: standard error 0.008
    assert actual["majority"] == pytest.approx(np.mean(majority), abs=0.03)
    assert actual["best_of_n"] == pytest.approx(np.mean(best), abs=0.03)


def test_ties_go_to_the_newest_checkpoint():
    attempts = {"1": tried("1", "66"), "2": tried("2", "55")}
    assert TemporalSampling(checkpoints=2).measure(attempts, 4, Key.root(0))["majority"] == 1
    attempts = {"1": tried("1", "55"), "2": tried("2", "66")}
    assert TemporalSampling(checkpoints=2).measure(attempts, 4, Key.root(0))["majority"] == 0


def test_one_checkpoint_is_plain_pass_at_k():
    attempts = {"1": tried("1", "5555"), "2": tried("2", "5666")}
    # 1 - C(3, 2) / C(4, 2)
    assert TemporalSampling(checkpoints=1).measure(attempts, 2, Key.root(0))["pass"] == pytest.approx(1 / 2)


def test_too_few_attempts_are_named():
    attempts = {"1": tried("1", "5"), "2": tried("2", "566")}
    with pytest.raises(ConfigError, match=r"needs 2 attempts of '1'.*has 1"):
        TemporalSampling(checkpoints=2).measure(attempts, 4, Key.root(0))
    with pytest.raises(ConfigError, match="There are 2 checkpoints, 3 were asked for"):
        TemporalSampling(checkpoints=3).measure(attempts, 3, Key.root(0))


def test_it_chooses_among_the_newest_of_one_pool():
    pool = tried("step-2", ["6", "6"]) + tried("step-10", ["7"]) + tried("step-9", ["5", "7"])
    assert TemporalSampling(checkpoints=1)(pool) == 2
    assert TemporalSampling(checkpoints=2)(pool) == 2
    assert TemporalSampling(checkpoints=3)(pool[:2] + pool[3:4]) == 0
    assert TemporalSampling()([]) is None


def test_the_best_checkpoint_is_that_of_the_most_right_answers():
    one = {"1": tried("1", "5666"), "2": tried("2", "5566"), "3": tried("3", "5666")}
    two = {"1": tried("1", "5666"), "2": tried("2", "5666"), "3": tried("3", "5566")}
    assert best_checkpoint({"a": one}) == "2"
    assert best_checkpoint({"a": one, "b": two}) == "3", "of equals the newest"
