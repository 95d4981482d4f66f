"""Rewards of length give what their authors' own code gives, on 1,200 random groups.

`data/length_reward_numbers.json` names repository, commit, function and arguments of each number, and
`data/length_groups.py` makes the groups anew. Of every group two sums are stored, of its rewards and of its rewards
times their place in it from 1; every tenth group is stored in full.
"""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from strop.controllers.length_targets import LengthTargets
from strop.recipes.grpo import grpo
from strop.records import Group, Report
from strop.rewards.correctness import Correctness
from strop.rewards.cosine_length import CosineLength
from strop.rewards.distance_to_shortest import DistanceToShortest
from strop.rewards.length_history import LengthHistory
from strop.rewards.length_target import LengthTarget
from strop.rewards.reflection_length import ReflectionLength
from strop.rewards.relative_length import RelativeLength
from strop.rewards.repetition_penalty import RepetitionPenalty
from strop.rewards.soft_overlong import SoftOverlong

DATA = Path(__file__).parents[1] / "data"
NUMBERS = json.loads((DATA / "length_reward_numbers.json").read_text(encoding="utf-8"))
_spec = importlib.util.spec_from_file_location("length_groups", DATA / "length_groups.py")
assert _spec is not None
assert _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
sys.modules["length_groups"] = made
_spec.loader.exec_module(made)
ROWS = made.rows()
GROUPS = [made.group(*row) for row in ROWS]
LASER = Correctness(wrong=-0.5, unparsable=-1.0, malformed=-1.0)


def assert_equal(name, values, places=1e-5):
    """`values`: of each group, the reward of each attempt."""
    stored = NUMBERS[name]
    assert len(values) == len(stored["sums"]) == made.COUNT
    sums = [(np.sum(v), np.sum(np.arange(1, len(v) + 1) * v)) for v in values]
    np.testing.assert_allclose(sums, stored["sums"], rtol=1e-6, atol=12 * places)
    for actual, expected in zip(values[::10], stored["full"], strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=places)


def summed(*rewards):
    return [sum(reward(group) for reward in rewards) for group in GROUPS]


def remembered(reward, groups):
    """The rewards where each group is a step."""
    state, found = reward.init(), []
    for group in groups:
        found.append(reward(group, state))
        state = reward.update(state, [group])
    return found


def steps():
    return [GROUPS[i : i + made.BATCH] for i in range(0, made.COUNT, made.BATCH)]


def test_groups_of_every_kind_are_among_them():
    rights = [[row.right for row in members] for _, members in ROWS]
    assert sum(len(r) == 1 for r in rights) > 100
    assert sum(not any(r) for r in rights) > 100
    assert sum(all(r) for r in rights) > 100
    for form in ("cut", "twice", "empty"):
        assert sum(any(row.form == form for row in members) for _, members in ROWS) > 100


@pytest.mark.parametrize(("kind", "within", "beyond"), [("reward", 1, 0), ("penalty", 0, -1), ("hybrid", 1, -1)])
def test_laser_with_a_fixed_target(kind, within, beyond):
    target = LengthTarget(targets=(100, 100, 100), within=within, beyond=beyond)
    assert_equal(f"laser_{kind}", summed(LASER, target))


@pytest.mark.parametrize("explore", [False, True])
def test_laser_d_and_de_with_targets_from_the_step_before(explore):
    controller = LengthTargets(lower=20, upper=400, step=20, every=1)
    stage, state, values = grpo().stages[0], controller.init(), []
    for number, (groups, expected) in enumerate(zip(steps(), NUMBERS["laser_d"]["targets"], strict=True)):
        start = LengthTarget(targets=(100, 100, 100), explore=explore)
        reward = controller.apply(state, replace(stage, rewards=(LASER, start))).rewards[1]
        # the code's stand-in for any length is the step's longest response
        *targets, longest = expected
        assert number == 0 or [longest if at is None else min(at, longest) for at in reward.targets] == targets
        values += [LASER(group) + reward(group) for group in groups]
        state = controller.update(state, groups, Report({}))
    assert_equal("laser_de" if explore else "laser_d", values)


def test_shorter_better():
    assert_equal("shorter_better", summed(Correctness(weight=2.0), DistanceToShortest(weight=0.001)))


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_hapo(shape):
    history = LengthHistory(shape=shape)
    found = remembered(history, GROUPS)
    assert_equal(f"hapo_{shape}_min", [Correctness()(g) + v for g, v in zip(GROUPS, found, strict=True)])


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_hapo_that_remembers_means(shape):
    """In the code each attempt of a group enters its step's mean anew, so that groups must be equally large."""
    history = LengthHistory(shape=shape, track="mean")
    pairs = [Group(g.problem, g.trajectories[:2]) for g in GROUPS if len(g) > 1]
    found = iter([Correctness()(g) + v for g, v in zip(pairs, remembered(history, pairs), strict=True)])
    assert_equal(f"hapo_{shape}_mean", [next(found) if len(g) > 1 else np.zeros(0) for g in GROUPS])


def test_arlcp():
    assert_equal("arlcp", summed(Correctness(well_formed=True), ReflectionLength()))


def test_kimi_length_reward():
    assert_equal("kimi_open_rs", summed(RelativeLength()))


def test_kimi_length_reward_as_a_baseline_of_laser():
    """There a badly formed answer has no length reward, and the only attempt of a group one that is not meant."""
    values = []
    for group, (_, members) in zip(GROUPS, ROWS, strict=True):
        formed = np.array([row.form == "well" for row in members])
        values.append(LASER(group) + np.where(formed, RelativeLength(weight=0.4)(group), 0.0))
    for index, (_, members) in enumerate(ROWS):
        if len(members) == 1:
            row, score = members[0], values[index][0]
            place = 0.4 * (0.5 - len(row.tokens)) * (row.form == "well")
            values[index] = np.array([score + place])
    assert_equal("kimi_laser", values)


def test_cosine_of_demystifying_long_cot():
    assert_equal("cosine_demystify", summed(CosineLength(max_length=made.LIMIT, margin=16)))


def test_cosine_of_open_rs():
    """Up to its limit; beyond it the code's cosine comes back, and strop's does not."""
    limit, values = 250, []
    cosine = CosineLength(max_length=limit, right=(1.0, 0.5), wrong=(0.0, -0.5), exceeded=None)
    for group, (_, members) in zip(GROUPS, ROWS, strict=True):
        actual = cosine(group)
        for i, row in enumerate(members):
            if len(row.tokens) > limit:
                assert actual[i] == pytest.approx(0.5 if row.right else -0.5)
                back = 0.25 * (1 + np.cos(np.pi * len(row.tokens) / limit))
                actual[i] = (0.5 if row.right else -0.5) + back
        values.append(actual)
    assert_equal("cosine_open_rs", values)


def test_repetition_penalty_of_demystifying_long_cot():
    assert_equal("repetition_demystify", summed(RepetitionPenalty(n=8, weight=0.05)))


def test_soft_overlong_of_dapo():
    assert_equal("overlong_dapo", summed(Correctness(wrong=-1.0), SoftOverlong(max_length=made.LIMIT, buffer=80)))


def test_a_wrong_number_is_found():
    """One attempt of one group, by a thousandth."""
    values = summed(RelativeLength())
    values[3] = values[3] + 1e-3
    with pytest.raises(AssertionError):
        assert_equal("kimi_open_rs", values)
