"""The contract of advantages."""

import warnings
from typing import Any

import numpy as np

from strop.contracts._finding import ensure
from strop.records import Float

_REWARDS = np.array(
    [[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.3, -0.2, 1.1, 0.7], [1.0, 0.0, np.nan, np.nan], [np.nan] * 4]
)


def keeps_the_shape(advantage: Any) -> None:
    for rewards in (_REWARDS, _REWARDS[:0], _REWARDS[:, :1]):
        values = _call(advantage, rewards)
        ensure(values.shape == rewards.shape, f"expected shape {rewards.shape}, got {values.shape}")
        ensure(values.dtype.kind == "f", f"expected floating-point numbers, got {values.dtype}")


def leaves_its_input_alone(advantage: Any) -> None:
    before = _REWARDS.copy()
    _call(advantage, before)
    ensure(np.array_equal(before, _REWARDS, equal_nan=True), "rewards must not be changed in place")


def keeps_missing_attempts_missing(advantage: Any) -> None:
    values = _call(advantage, _REWARDS)
    ensure(
        (np.isnan(values) == np.isnan(_REWARDS)).all(),
        f"NaN must be where an attempt is missing and nowhere else: {values}",
    )


def does_not_count_missing_attempts(advantage: Any) -> None:
    short = _REWARDS[:3, :3]
    wide = np.concatenate([short, np.full((3, 2), np.nan)], axis=1)
    _same(_call(advantage, wide)[:, :3], _call(advantage, short), "with missing attempts beside them, the advantages")


def is_zero_where_all_rewards_are_equal(advantage: Any) -> None:
    for value in (0.0, 1.0, 0.1, -3.7, 1e6):
        _same(_call(advantage, np.full((2, 3), value)), np.zeros((2, 3)), f"advantages of equal rewards of {value}")


def prefers_higher_rewards(advantage: Any) -> None:
    """The one property that a flipped sign cannot keep."""
    for rewards, values in zip(_REWARDS[:3], _call(advantage, _REWARDS[:3]), strict=True):
        order = np.argsort(rewards, kind="stable")
        ensure(
            (np.diff(values[order]) >= -1e-12).all(),
            f"rewards {rewards} gave {values}: a higher reward, a lower advantage",
        )
        ensure(
            values[order[-1]] > values[order[0]],
            f"rewards {rewards} gave {values}: the best is no better than the worst",
        )


def does_not_depend_on_the_order_of_groups(advantage: Any) -> None:
    order = [3, 0, 4, 2, 1]
    _same(
        _call(advantage, _REWARDS[order]),
        _call(advantage, _REWARDS)[order],
        "with groups in another order, the advantages",
    )


def does_not_depend_on_the_order_of_attempts(advantage: Any) -> None:
    order = [2, 0, 3, 1]
    actual, expected = _call(advantage, _REWARDS[:, order]), _call(advantage, _REWARDS)[:, order]
    _same(actual, expected, "with attempts in another order, the advantages")


def gives_the_same_twice(advantage: Any) -> None:
    _same(_call(advantage, _REWARDS), _call(advantage, _REWARDS), "at a second call, the advantages")


def stays_finite_at_extremes(advantage: Any) -> None:
    for rewards in ([[1e9, -1e9, 0.0]], [[1e-12, 0.0, 0.0]], [[1.0, 1.0 + 1e-12, 1.0]], [[1e6, 1e6 + 1e-3, 1e6]]):
        values = _call(advantage, np.array(rewards))
        ensure(np.isfinite(values).all(), f"rewards {rewards} gave {values}")


ADVANTAGES = (
    keeps_the_shape,
    leaves_its_input_alone,
    keeps_missing_attempts_missing,
    does_not_count_missing_attempts,
    is_zero_where_all_rewards_are_equal,
    prefers_higher_rewards,
    does_not_depend_on_the_order_of_groups,
    does_not_depend_on_the_order_of_attempts,
    gives_the_same_twice,
    stays_finite_at_extremes,
)


def _call(advantage: Any, rewards: Float[np.ndarray, "P G"]) -> Float[np.ndarray, "P G"]:
    with warnings.catch_warnings():
        # a warning about an empty group on every step of a run is a defect
        warnings.simplefilter("error", RuntimeWarning)
        return advantage(rewards)


def _same(actual: Float[np.ndarray, "P G"], expected: Float[np.ndarray, "P G"], what: str) -> None:
    ensure(
        np.allclose(actual, expected, rtol=1e-9, atol=1e-6, equal_nan=True), f"{what} are {actual}, expected {expected}"
    )
