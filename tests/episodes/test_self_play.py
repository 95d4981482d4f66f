"""Games of a policy with itself: who is told what, in which order, and that a game ends."""

import numpy as np
import pytest

from strop.advantages.role_baseline import RoleBaseline
from strop.batching import pack
from strop.episodes.self_play import SelfPlay
from strop.errors import ConfigError
from strop.keys import Key
from strop.records import Completion
from strop.rewards.outcome import Outcome
from strop.scoring import reward, score
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.subtraction_game import SubtractionGame
from strop.verifiers import JudgePool

GAME = SubtractionGame()


class Scripted:
    """Answers a position with what `move` says; tokens are the characters of the text."""

    def __init__(self, move):
        self.move, self.seeds, self.calls = move, [], []
        self.tokenizer = self

    def prompt(self, turns):
        return np.frombuffer(turns[-1].content.encode(), dtype=np.uint8).astype(np.int64)

    def decode(self, tokens):
        return bytes(tokens.astype(np.uint8)).decode()

    def generate(self, requests):
        self.calls.append(len(requests))
        for i, request in reversed(list(enumerate(requests))):
            self.seeds += request.seeds
            question = self.decode(request.prompt)
            text = self.move(question).encode()
            tokens = np.frombuffer(text, dtype=np.uint8).astype(np.int64)
            yield Completion(request=i, sample=0, tokens=tokens, logp=np.zeros(len(tokens)), finish="stop")


def start(left, most=3, name="subtraction_game/train/0"):
    return GAME.position(name, left, most, "first")


def play(problems, move, samples=1, **fields):
    sampler = Scripted(move)
    attempts = list(SelfPlay(**fields)(problems, sampler=sampler, task=GAME, samples=samples, key=Key.root(0)))
    return attempts, sampler


def told(attempts):
    return [(t.problem.data["left"], t.problem.data["role"], t.problem.data["outcome"]) for t in attempts]


def best(question):
    """Leaves a multiple of the largest move and one, else takes one."""
    words = question.split()
    return str(int(words[-1]) % (int(words[3]) + 1) or 1)


def test_every_move_learns_what_the_game_was_worth_to_its_side():
    attempts, _ = play([start(6)], best)
    assert told(attempts) == [(6, "first", 1.0), (4, "second", -1.0), (3, "first", 1.0)]
    assert [t.text for t in attempts] == ["2", "1", "3"]
    assert [t.problem.id for t in attempts] == [f"subtraction_game/train/0/game 0/move {i}" for i in range(3)]


@pytest.mark.parametrize("move", ["4", "0", "none", "", "９"])
def test_a_move_that_is_not_allowed_loses(move):
    attempts, _ = play([start(6)], lambda question: "1" if question.endswith("of 6") else move)
    assert told(attempts) == [(6, "first", 0.5), (5, "second", -1.5)]


def test_a_game_without_end_is_worth_nothing():
    attempts, _ = play([start(99)], lambda question: "1", max_moves=5)
    assert [t.problem.data["outcome"] for t in attempts] == [0.0] * 5


def test_games_move_together_and_each_move_has_its_own_seed():
    problems = [start(6), start(9, name="subtraction_game/train/1")]
    attempts, sampler = play(problems, best, samples=3)
    # three games of three moves, and three of five: 9, 8, 7, 4, 3
    assert sampler.calls == [6, 6, 6, 3, 3]
    assert len(set(sampler.seeds)) == len(sampler.seeds) == 24 == len({t.problem.id for t in attempts})
    again, other = play(problems[1:], best, samples=3)
    assert set(other.seeds) < set(sampler.seeds)
    assert len(again) == 15


def test_the_advantage_is_that_of_the_role():
    attempts, _ = play([start(6)], best)
    with JudgePool(GAME.verify) as judge:
        groups = reward(score([start(6)], attempts, judge), (Outcome(),), (None,))
    assert [len(group) for group in groups] == [1, 1, 1]
    baselines = {"subtraction_game/first": 0.25, "subtraction_game/second": -0.5}
    batch, _ = pack(groups, RoleBaseline(), memory=baselines)
    assert batch.advantage[:, 0].tolist() == [0.75, -0.5, 0.75]


def test_a_task_without_moves_is_refused():
    with pytest.raises(ConfigError, match="such as subtraction_game; arithmetic cannot"):
        list(SelfPlay()([], sampler=Scripted(best), task=Arithmetic(), samples=1, key=Key.root(0)))
