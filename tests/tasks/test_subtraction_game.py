"""The game's verdicts against a search through all plays, and what a move is worth."""

from functools import cache

import pytest

from strop.records import Problem
from strop.tasks import Game
from strop.tasks.subtraction_game import SubtractionGame

GAME = SubtractionGame(levels=(1, 2, 3))


@cache
def wins(left, most):
    """Whether the player to move can take the last one."""
    return any(left == taken or not wins(left - taken, most) for taken in range(1, min(left, most) + 1))


@pytest.mark.parametrize("most", [2, 3, 5])
@pytest.mark.parametrize("left", range(1, 20))
def test_right_moves_are_those_that_a_search_finds(left, most):
    position = GAME.position("subtraction_game/train/0", left, most, "first")
    for taken in range(most + 3):
        legal = 1 <= taken <= min(left, most)
        keeps = legal and (not wins(left, most) or left == taken or not wins(left - taken, most))
        assert GAME.verify(str(taken), position).outcome == ("right" if keeps else "wrong"), taken


def test_every_problem_can_be_won_by_who_begins():
    problems = [GAME.problem("heldout", index) for index in range(100)]
    assert all(wins(p.data["left"], p.data["most"]) and p.data["role"] == "first" for p in problems)
    assert {p.difficulty for p in problems} == {1, 2, 3}


def test_roles_alternate_until_somebody_takes_the_last():
    position = GAME.position("subtraction_game/train/0", 4, 3, "first")
    after = GAME.play(position, "3")
    assert isinstance(after, Problem)
    assert (after.data["left"], after.data["role"], after.question) == (1, "second", "take 1 to 3 of 1")
    assert GAME.play(after, "1") == {"second": 1.0, "first": -1.0}
    assert GAME.play(after, "2") == GAME.play(after, None) == {"second": -1.5, "first": 0.5}
    assert isinstance(GAME, Game)
