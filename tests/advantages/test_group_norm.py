import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.advantages.group_norm import GroupNorm
from strop.advantages.leave_one_out import LeaveOneOut


def loop(rewards, std, eps):
    rows = []
    for row in rewards.tolist():
        present = [r for r in row if r == r]
        flat = len(set(present)) <= 1
        deviation = {"sample": statistics.stdev, "population": statistics.pstdev, "none": lambda _: 1 - eps}[std]
        scale = 1.0 if flat else deviation(present) + eps
        rows.append([float("nan") if r != r else 0.0 if flat else (r - statistics.fmean(present)) / scale for r in row])
    return np.array(rows)


@pytest.mark.parametrize("std", ["sample", "population", "none"])
@pytest.mark.parametrize("eps", [1e-6, 1e-4])
def test_against_a_loop(std, eps):
    rewards = np.random.default_rng(0).choice([0.0, 1.0, 0.3, np.nan], size=(40, 6))
    actual = GroupNorm(std, eps)(rewards)
    np.testing.assert_allclose(actual, loop(rewards, std, eps), rtol=1e-9, atol=1e-12)


def test_sample_deviation_is_torch_std():
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    table = torch.from_numpy(rewards)
    expected = (table - table.mean(1, keepdim=True)) / (table.std(1, keepdim=True) + 1e-6)
    np.testing.assert_allclose(GroupNorm()(rewards), expected.numpy())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=2, max_size=8),
    st.floats(-5, 5),
    st.floats(0.5, 4),
)
def test_shift_changes_nothing_and_scale_only_without_a_deviation(rewards, shift, scale):
    table = np.array([rewards])
    for std in ("sample", "population", "none"):
        before = GroupNorm(std, eps=0.0)(table)
        after = GroupNorm(std, eps=0.0)(table * scale + shift)
        np.testing.assert_allclose(after, before * (scale if std == "none" else 1.0), rtol=1e-6, atol=1e-6)


def test_rounding_of_the_mean_gives_no_signal():
    """0.1 + 0.1 + 0.1 is not 0.3: without care the deviation is 1e-17, and dividing by it gives advantages of 1."""
    assert (GroupNorm(eps=0.0)(np.full((1, 3), 0.1)) == 0).all()
    assert (LeaveOneOut()(np.full((1, 3), 0.1)) == 0).all()


def test_group_of_one_has_no_signal():
    assert GroupNorm()(np.array([[3.0, np.nan]])).tolist()[0][0] == 0.0
