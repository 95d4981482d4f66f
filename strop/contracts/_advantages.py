"""The contracts of advantages, and of credit: how an advantage is spread over tokens."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from strop.contracts._examples import group, groups
from strop.contracts._finding import copied, ensure, ensure_json, ensure_untouched
from strop.records import Float, Group, Trajectory

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
    if not getattr(advantage, "relative", True):
        return
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


def remembers_in_plain_data(advantage: Any) -> None:
    if not hasattr(advantage, "init"):
        return
    state = advantage.init()
    ensure_json(state, "the state of init()")
    before = copied(state)
    # some remember what the policy did, some what others did beside it
    taught = group(("right", "wrong"))
    taught = replace(taught, trajectories=tuple(replace(t, origin="teacher") for t in taught.trajectories))
    after = advantage.update(state, [*groups(), taught])
    ensure_untouched(before, state, "the state given to update()")
    ensure_json(after, "the state of update()")
    ensure(after != before, "nothing is remembered of five groups: the memory is idle")


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
    remembers_in_plain_data,
)


def gives_each_token_a_finite_credit(credit: Any) -> None:
    given = _judged()
    for before, after in zip(given, credit(given), strict=True):
        ensure(len(before) == len(after), f"{len(before)} attempts went in, {len(after)} came out")
        for old, new in zip(before.trajectories, after.trajectories, strict=True):
            ensure(old.tokens is new.tokens, "tokens must stay what they are")
            if new.credit is not None and old.tokens is not None:
                ensure(
                    new.credit.shape == old.tokens.shape, f"expected one number for each of {len(old.tokens)} tokens"
                )
                ensure(bool(np.isfinite(new.credit).all()), f"credits must be finite, got {new.credit}")


def gives_the_same_credit_twice(credit: Any) -> None:
    for one, other in zip(_credits(credit, _judged()), _credits(credit, _judged()), strict=True):
        _same(one, other, "at a second call, the credits")


def does_not_mix_up_attempts(credit: Any) -> None:
    order = [3, 1, 0, 2]
    turned = [Group(g.problem, tuple(g.trajectories[i] for i in order)) for g in _judged()]
    for one, other in zip(_credits(credit, turned), _credits(credit, _judged()), strict=True):
        _same(one, other[order], "with attempts in another order, the credits")


def does_not_count_dropped_attempts(credit: Any) -> None:
    def without(given: Group, last: Trajectory | None) -> Group:
        return Group(given.problem, (*given.trajectories[:3], *([last] if last is not None else [])))

    dropped = [without(g, replace(g.trajectories[3], dropped="too long")) for g in _judged()]
    absent = [without(g, None) for g in _judged()]
    for one, other in zip(_credits(credit, dropped), _credits(credit, absent), strict=True):
        _same(one[:3, : other.shape[1]], other[:3], "with a dropped attempt beside them, the credits")


def prefers_what_was_better(credit: Any) -> None:
    """The one property that a flipped sign cannot keep."""
    for judged, values in zip(_judged(), _credits(credit, _judged()), strict=True):
        means = np.nanmean(values, axis=1)
        good = np.array([t.advantage > 0 for t in judged.trajectories])
        ensure(
            means[good].mean() > means[~good].mean(),
            f"attempts with positive advantages got {means[good]} a token, the others {means[~good]}",
        )


CREDITS = (
    gives_each_token_a_finite_credit,
    gives_the_same_credit_twice,
    does_not_mix_up_attempts,
    does_not_count_dropped_attempts,
    prefers_what_was_better,
)


def _judged() -> list[Group]:
    """Groups of four, two right and two wrong, with advantages as a group score gives them."""
    found = []
    for index in range(2):
        each = group(("right", "wrong", "right", "wrong"), index)
        attempts = (replace(t, advantage=1.0 if t.reward else -1.0) for t in each.trajectories)
        found.append(Group(each.problem, tuple(attempts)))
    return found


def _credits(credit: Any, given: list[Group]) -> list[Float[np.ndarray, "G T"]]:
    tables = []
    for each in credit(given):
        width = max(len(t.tokens) for t in each.trajectories)  # type: ignore[arg-type]
        table = np.full((len(each), width), np.nan)
        for row, t in enumerate(each.trajectories):
            table[row, : len(t.tokens)] = t.advantage if t.credit is None else t.credit  # type: ignore[arg-type]
        tables.append(table)
    return tables


def _call(advantage: Any, rewards: Float[np.ndarray, "P G"]) -> Float[np.ndarray, "P G"]:
    with warnings.catch_warnings():
        # a warning about an empty group on every step of a run is a defect
        warnings.simplefilter("error", RuntimeWarning)
        if hasattr(advantage, "init"):
            return advantage(rewards, [group(("right",), index) for index in range(len(rewards))], advantage.init())
        return advantage(rewards)


def _same(actual: Float[np.ndarray, "P G"], expected: Float[np.ndarray, "P G"], what: str) -> None:
    ensure(
        np.allclose(actual, expected, rtol=1e-9, atol=1e-6, equal_nan=True), f"{what} are {actual}, expected {expected}"
    )
