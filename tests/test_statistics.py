"""Intervals against hand computation and against what they promise."""

import math
import random

import numpy as np
import pytest

from strop.keys import Key
from strop.statistics import bootstrap, paired_bootstrap, wilson


def test_bootstrap_against_a_slow_loop():
    values = [0.0, 0.25, 1.0, 1.0, 0.5, 0.75, 0.0, 0.0]
    draw = random.Random(1)
    means = sorted(sum(draw.choice(values) for _ in values) / len(values) for _ in range(20_000))
    expected = means[500], means[19_500]
    assert bootstrap(np.array(values), Key.root(0), draws=20_000) == pytest.approx(expected, abs=0.01)


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        low, high = bootstrap(draw.normal(0.3, 1.0, size=60), Key.root(trial), level=0.9, draws=400)
        hits += low <= 0.3 <= high
    assert 0.85 <= hits / 400 <= 0.94


def test_bootstrap_is_seeded_and_blocks_do_not_matter():
    values = np.random.default_rng(0).random(30)
    assert bootstrap(values, Key.root(0)) == bootstrap(values, Key.root(0))
    assert bootstrap(values, Key.root(0)) != bootstrap(values, Key.root(1))
    many = np.tile([0.0, 1.0], 10_000)
    low, high = bootstrap(many, Key.root(0))
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(20_000), rel=0.1)
    assert all(map(math.isnan, bootstrap(np.array([]), Key.root(0))))


def test_pairing_removes_the_spread_that_both_share():
    draw = np.random.default_rng(0)
    shared = draw.normal(0, 10, size=100)
    better = shared + 0.5 + draw.normal(0, 0.1, size=100)
    found = paired_bootstrap(better, shared, Key.root(0))
    assert found.mean == pytest.approx(float(np.mean(better - shared)))
    assert 0.45 < found.low < found.mean < found.high < 0.55
    assert paired_bootstrap(shared, better, Key.root(0)).mean == pytest.approx(-found.mean)
    with pytest.raises(ValueError, match="same problems"):
        paired_bootstrap(np.zeros(3), np.zeros(2), Key.root(0))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 1000), (500, 1000)])
def test_wilson_solves_its_equation(successes, n):
    # the ends are where |share - p| is exactly z standard errors of p: (share - p)^2 = z^2 p (1 - p) / n
    share, z = successes / n, 1.959963984540054
    for end in wilson(successes, n):
        assert (share - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, abs=1e-12)
    low, high = wilson(successes, n)
    assert 0 <= low <= share <= high <= 1


def test_wilson_at_the_edges():
    assert wilson(0, 0) == (0, 1)
    assert wilson(0, 5).low == 0
    assert wilson(5, 5).high == 1
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(6, 5)
