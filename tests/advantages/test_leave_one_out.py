import numpy as np

from strop.advantages.group_norm import GroupNorm
from strop.advantages.leave_one_out import LeaveOneOut


def test_against_a_loop():
    rewards = np.random.default_rng(0).choice([0.0, 1.0, 0.3, np.nan], size=(40, 6))
    expected = np.full(rewards.shape, np.nan)
    for p, row in enumerate(rewards.tolist()):
        for i, mine in enumerate(row):
            others = [r for j, r in enumerate(row) if j != i and r == r]
            if mine == mine:
                expected[p, i] = mine - (sum(others) / len(others) if others else 0.0)
    np.testing.assert_allclose(LeaveOneOut()(rewards), expected, atol=1e-12)


def test_two_attempts_get_plus_and_minus_their_difference():
    np.testing.assert_allclose(LeaveOneOut()(np.array([[0.9, 0.2]])), [[0.7, -0.7]])


def test_is_centring_times_a_constant():
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(LeaveOneOut()(rewards), 4 / 3 * GroupNorm(std="none")(rewards))


def test_baseline_does_not_depend_on_the_attempt_itself():
    """What makes it unbiased: raising a reward by one raises its own advantage by one."""
    low, high = np.array([[0.0, 1.0, 5.0]]), np.array([[0.0, 1.0, 6.0]])
    np.testing.assert_allclose((LeaveOneOut()(high) - LeaveOneOut()(low))[0, 2], 1.0)
