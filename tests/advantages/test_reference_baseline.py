"""Rewards against how often a frozen model is right at the same problem."""

import dataclasses

import numpy as np
import pytest

from strop.advantages.reference_baseline import ReferenceBaseline
from strop.batching import pack
from strop.records import Group, Problem, Trajectory, Verdict


def attempts(index, policy, teacher):
    """`policy`: rewards of its attempts; `teacher`: outcomes of the reference's."""
    problem = Problem(id=f"a/train/{index}", task="a", prompt=(), reference="5")
    plain = {"problem": problem, "text": "", "tokens": np.array([1]), "prompt_tokens": np.array([7])}
    own = [Trajectory(sample=i, reward=value, verdict=Verdict("right"), **plain) for i, value in enumerate(policy)]
    theirs = [
        Trajectory(sample=len(own) + i, origin="teacher", reward=9.0, verdict=Verdict(outcome), **plain)
        for i, outcome in enumerate(teacher)
    ]
    return Group(problem, (*own, *theirs))


def test_in_a_batch_against_hand_computed_values():
    """1.05 - 2/3, 1 - 2/3, 0 - 2/3; 0.05 - 0; the reference's rows weigh 1, for whoever learns from them."""
    groups = [attempts(0, [1.05, 1.0, 0.0], ["right", "right", "wrong"]), attempts(1, [0.05], ["wrong"])]
    baseline = ReferenceBaseline()
    _, after = pack(groups, baseline, memory=baseline.init())
    found = [[t.advantage for t in g.trajectories] for g in after]
    assert found[0] == pytest.approx([1.05 - 2 / 3, 1 / 3, -2 / 3, 1, 1, 1])
    assert found[1] == pytest.approx([0.05, 1])


def test_attempts_of_the_reference_add_up_over_steps():
    baseline = ReferenceBaseline()
    state = baseline.update(baseline.init(), [attempts(0, [], ["right"] * 3), attempts(1, [], ["wrong"])])
    assert state == {"a/train/0": [3, 3], "a/train/1": [0, 1]}
    again = [attempts(0, [1.0], ["wrong"]), attempts(1, [1.0], []), attempts(2, [1.0], [])]
    expected = [1 - 3 / 4, 1.0, 1.0]
    assert baseline(np.ones((3, 1)), again, state)[:, 0].tolist() == pytest.approx(expected)
    assert state["a/train/0"] == [3, 3], "the state given must stay what it is"


def test_a_group_that_beats_the_reference_is_pushed_as_a_whole():
    groups = [attempts(0, [1.0, 1.0], ["right", "wrong"])]
    assert ReferenceBaseline()(np.ones((1, 2)), groups, {}).tolist() == [[0.5, 0.5]]


def test_only_whether_the_reference_is_right_counts():
    """Not its rewards, and not what the policy did."""
    given = attempts(0, [1.0], ["right", "wrong"])
    silent = dataclasses.replace(given.trajectories[2], verdict=None)
    odd = Group(given.problem, (given.trajectories[0], given.trajectories[1], silent))
    assert ReferenceBaseline()(np.ones((1, 1)), [odd], {}).tolist() == [[0.0]]
