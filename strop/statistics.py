"""Intervals for what is measured on problems: bootstrap for means over problems, Wilson for a plain share.

Problems are what is resampled, never attempts: attempts at one problem are not independent. Two methods measured on the
same problems are compared problem by problem (`paired_bootstrap`), which removes the spread that they share.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from strop.keys import Key

DRAWS = 2000
"""Resamples of a bootstrap: enough that the ends of a 95 % interval move by about 2 % of its width."""


class Interval(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """The mean of a paired difference, with its interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Float[np.ndarray, " P"], key: Key, level: float = 0.95, draws: int = DRAWS) -> Interval:
    """The percentile bootstrap interval of the mean over problems.

    >>> bootstrap(np.array([1.0, 1.0, 1.0]), Key.root(0))
    Interval(low=1.0, high=1.0)
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return Interval(math.nan, math.nan)
    rng = key.rng()
    # in blocks, so that many problems do not need problems × draws numbers at once
    block = max(1, 4_000_000 // len(values))
    means = np.concatenate(
        [
            values[rng.integers(len(values), size=(min(block, draws - start), len(values)))].mean(axis=1)
            for start in range(0, draws, block)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_bootstrap(
    a: Float[np.ndarray, " P"], b: Float[np.ndarray, " P"], key: Key, level: float = 0.95, draws: int = DRAWS
) -> Difference:
    """The mean of a - b over the same problems, in the same order, with its percentile bootstrap interval.

    >>> paired_bootstrap(np.array([1.0, 0.5]), np.array([0.75, 0.25]), Key.root(0))
    Difference(mean=0.25, low=0.25, high=0.25)
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"A paired bootstrap needs the same problems twice, got {len(a)} and {len(b)}.")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return Difference(float(difference.mean()), *bootstrap(difference, key, level, draws))


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of independent cases; (0, 1) where there are none.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if not 0 <= successes <= n:
        raise ValueError(f"Successes must be between 0 and n ({n}), got {successes}.")
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, stretch = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / stretch
    half = z / stretch * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # a share of exactly 0 or 1 must lie inside its interval also after rounding
    return Interval(max(0.0, centre - half) if successes else 0.0, min(1.0, centre + half) if successes < n else 1.0)
