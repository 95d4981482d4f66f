"""Rewards that tell answers with a thought from answers without one."""

import math
import statistics

import numpy as np
import pytest

from strop.records import Group, Problem, Trajectory, Verdict
from strop.rewards.length_score import LengthScore
from strop.rewards.skipped_thought import SkippedThought
from strop.rewards.thought_balance import ThoughtBalance
from strop.scoring import reward

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")
THINKS, SILENT = "<think>2+3=5</think>5", "<think></think>5"


def group(*rows, number=0):
    problem = Problem(id=f"a/train/{number}", task="a", prompt=(), reference="5")
    attempts = (
        Trajectory(problem=problem, sample=i, text=text, verdict=Verdict(outcome), tokens=np.zeros(size, dtype=int))
        for i, (text, outcome, size) in enumerate(rows)
    )
    return Group(problem, tuple(attempts))


def table(thinks, right, gamma=0.5):
    """The rule, case by case, with the share that goes with it."""
    v = {(True, True): 1, (True, False): 0, (False, True): 2, (False, False): -1}[thinks, right]
    u = {(True, True): 0, (True, False): -1, (False, True): 1, (False, False): -2}[thinks, right]

    def value(thinking):
        p = thinking if thinks else 1 - thinking
        d = min(max(2 * (p - gamma), 0), 1) if p > gamma else 0
        return (1 - d) * v + d * u

    return value


@pytest.mark.parametrize("thinking", [0.0, 0.1, 0.5, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.0])
def test_balance_against_the_rule(thinking, gamma):
    cases = [(thinks, right) for thinks in (True, False) for right in (True, False)]
    rows = [(THINKS if thinks else SILENT, "right" if right else "wrong", 3) for thinks, right in cases]
    actual = ThoughtBalance(share=gamma)(group(*rows), {"thinking": thinking})
    assert actual.tolist() == pytest.approx([table(*case, gamma)(thinking) for case in cases])


def test_the_share_is_that_of_the_whole_step_it_pays():
    """Four of five think: d is 0.6 for them, whatever their own group does and whatever an earlier step did."""
    groups = [
        group((THINKS, "right", 3), (THINKS, "right", 3), (THINKS, "wrong", 3)),
        group((THINKS, "right", 3), (SILENT, "right", 3), number=1),
    ]
    paid = reward(groups, [ThoughtBalance()], [{"thinking": 0.0}])
    assert [g.rewards.tolist() for g in paid] == [pytest.approx([0.4, 0.4, -0.6]), pytest.approx([0.4, 2.0])]


def test_a_memory_of_earlier_steps_stays_one():
    """A reward that does not ask for the whole step is paid with what it remembered before."""

    class Counting:
        def init(self):
            return 0

        def update(self, state, groups):
            return state + len(groups)

        def __call__(self, each, state):
            return np.full(len(each), float(state))

    class Whole(Counting):
        whole_step = True

    paid = reward([group((THINKS, "right", 3))], [Counting(), Whole()], [7, 7])
    assert paid[0].trajectories[0].rewards == {"Counting": 7.0, "Whole": 8.0}


def test_what_cannot_be_read_is_worth_nothing_until_its_kind_is_too_frequent():
    unreadable = group(("<think>2+3", "unparsable", 3), ("<think>2+3</think>", "unparsable", 3), ("5", "wrong", 3))
    assert ThoughtBalance()(unreadable, {"thinking": 0.5}).tolist() == [0, 0, 0]
    assert ThoughtBalance()(unreadable, {"thinking": 1.0}).tolist() == [-1, -1, -1]


def test_going_round_in_circles_costs_more_where_nothing_was_thought():
    circles = " 1 2" * 10
    rows = [(SILENT + circles, "wrong", 9), (THINKS + circles, "wrong", 9), (SILENT + " 1 2" * 9, "wrong", 9)]
    assert ThoughtBalance()(group(*rows), {"thinking": 0.5}).tolist() == [-2, 0, -1]


def test_it_remembers_the_policys_own_share():
    balance = ThoughtBalance()
    shown = Trajectory(problem=PROBLEM, sample=9, text=SILENT, origin="expert")
    mixed = group((THINKS, "right", 3), (SILENT, "right", 3), ("<think>...</think>5", "wrong", 3))
    mixed = Group(mixed.problem, (*mixed.trajectories, shown))
    assert balance.update(balance.init(), [mixed]) == {"thinking": pytest.approx(1 / 3)}
    assert balance.update({"thinking": 0.25}, []) == {"thinking": 0.25}


def test_skipping_the_thought_pays_whether_or_not_it_was_right():
    rows = [
        (SILENT, "wrong", 3),
        (SILENT, "right", 3),
        (THINKS, "right", 3),
        ("<think>", "wrong", 3),
        ("5", "right", 3),
    ]
    assert SkippedThought(weight=0.25)(group(*rows)).tolist() == [0.25, 0.25, 0, 0, 0]


def test_length_score_against_a_loop():
    random = np.random.default_rng(0)
    for _ in range(20):
        size = int(random.integers(1, 9))
        rows = [("", str(random.choice(["right", "wrong"])), int(n)) for n in random.integers(1, 30, size)]
        expected = []
        for _, outcome, length in rows:
            kind = [n for _, o, n in rows if o == outcome]
            spread = max(statistics.stdev(kind), 1e-6) if len(kind) > 1 else math.inf
            z = (length - statistics.mean(kind)) / spread
            expected.append(-1 + math.exp(-0.05 * z) if outcome == "right" else 1 - math.exp(-0.2 * z))
        actual = LengthScore(wrong=0.2)(group(*rows))
        assert actual.tolist() == pytest.approx(expected, abs=1e-9)


def test_length_score_prefers_short_right_answers_and_long_wrong_ones():
    rows = [("", "right", 2), ("", "right", 9), ("", "wrong", 2), ("", "wrong", 9)]
    short, long, hasty, patient = LengthScore()(group(*rows)).tolist()
    assert short > 0 > long
    assert patient > 0 > hasty
