"""Looking ahead for a reward."""

import math

import numpy as np
import pytest

from strop.decoders.transfer_q import TransferQ
from strop.keys import Key


class Sevens:
    """The share of sevens among the digits of an attempt."""

    def __call__(self, group):
        texts = [[c for c in t.text if c.isdigit()] for t in group.trajectories]
        return np.array([each.count("7") / max(1, len(each)) for each in texts])


class Less:
    def __call__(self, group):
        return -Sevens()(group)


class Broken:
    def __call__(self, group):
        return np.full(len(group), np.nan)


def say(text, sample):
    """Only the second candidate's future is bright: it says 1, and goes on with sevens."""
    said = text.rpartition(">")[2]
    if not said:
        return "1" + "7" * 30 if sample == 1 else "7" + "2" * 30
    return ("7" if said[0] == "1" else "2") * 30


@pytest.mark.parametrize(("reward", "expected"), [(Sevens(), "1"), (Less(), "7")])
def test_what_comes_after_a_block_decides(scripted, draw, reward, expected):
    decoder = TransferQ(reward=reward, alpha=0.01, candidates=2, block=1, lookahead=5)
    sampler = scripted(say)
    found = draw(decoder, sampler, budget=10, max_tokens=8)
    assert found.attempts[0].text[0] == expected
    assert found.attempts[0].length == 8
    assert found.cost.tokens == sampler.drawn <= 80


def test_picks_follow_the_softmax():
    decoder = TransferQ(alpha=0.5)
    worth = np.array([0.1, 0.6, -math.inf, 0.4])
    weight = [math.exp(v / 0.5) for v in worth]
    expected = np.array(weight) / sum(weight)
    picks = [decoder.pick(worth, Key.root(0).fold(n)) for n in range(4000)]
    actual = np.bincount(picks, minlength=4) / 4000
    # four standard errors of a share of a half
    np.testing.assert_allclose(actual, expected, atol=4 * 0.5 / math.sqrt(4000))
    assert actual[2] == 0


def test_indirect_weights_against_a_slow_sum():
    r, base, beta = [0.2, 1.0, -0.5], [0.1, 0.9, 0.3], 0.5
    raw = [math.exp((a - b) / beta) for a, b in zip(r, base, strict=True)]
    expected = [w / (sum(raw) / 3) * a for w, a in zip(raw, r, strict=True)]
    np.testing.assert_allclose(TransferQ(beta=beta).weighed(np.array(r), np.array(base)), expected, rtol=1e-12)


def test_a_reward_that_is_no_number_leaves_the_choice_to_the_first(scripted, draw):
    found = draw(TransferQ(reward=Broken(), candidates=2, block=1), scripted(say), budget=10, max_tokens=8)
    assert found.attempts[0].text[0] == "7"


def test_looks_ahead_as_far_as_the_rest_is_paid_for(scripted, draw):
    # a look costs 2 x (4 + 4) tokens; 24 tokens pay for one of them and the four tokens that are left
    sampler = scripted(say)
    found = draw(TransferQ(reward=Sevens(), candidates=2, block=4, lookahead=4), sampler, budget=3, max_tokens=8)
    asked = [room for _, room in sampler.asked]
    assert asked == [4, 4, 4, 4, 4]
    assert found.cost.tokens == 20
    assert found.cost.longest == 12
