"""Take some of a heap in turn; who takes the last wins."""

import re
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Annotated, ClassVar

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import ROLES, Style
from strop.tasks._trace import walk
from strop.text import join_thought, split_thought

Level = Annotated[int, Field(ge=1, le=3)]

_HEAPS: Mapping[int, tuple[int, int, int]] = {1: (2, 3, 19), 2: (3, 5, 39), 3: (4, 9, 99)}
"""Of each level: the fewest and the most that a move may take, at most, and the largest heap."""


@piece
class SubtractionGame:
    r"""A game for two: take 1 to `m` from a heap of `n`; who takes the last one wins (`take 1 to 3 of 13` -> `1`).

    A move wins where it leaves a multiple of m + 1; whoever faces one has lost against best play, and every legal move
    is as good as another. All problems are positions that the player to move can win, so whoever begins has an
    advantage that has nothing to do with how well it plays. An attempt is one move; `play` says what comes of it, so an
    episode can play whole games. In such games any position may come up, those of `heldout` too: held-out accuracy
    says how well a model plays. A move that is not allowed loses: -1.5 for who made it, 0.5 for the other one.
    Level 1: heaps up to 19, moves up to 2 or 3. Level 2: 39 and 3 to 5. Level 3: 99 and 4 to 9.

    Source: the game is Bachet's; what an illegal move is worth is SPIRAL's (arXiv:2506.24119).

    >>> game = SubtractionGame()
    >>> position = game.position("subtraction_game/train/0", left=5, most=3, role="first")
    >>> [game.verify(move, position).outcome for move in ("1", "2", "4", "all")]
    ['right', 'wrong', 'wrong', 'unparsable']
    >>> game.play(position, "1").question, game.play(position, "4")
    ('take 1 to 3 of 4', {'first': -1.5, 'second': 0.5})
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (1, 2)
    """Difficulties to draw from, evenly."""
    seed: int = 0
    """Which stream of problems; two seeds share nothing."""

    name: ClassVar[str] = "subtraction_game"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        random = Key.root(self.seed).fold(self.name, split, index).random()
        level = random.choice(self.levels)
        low, high, largest = _HEAPS[level]
        most = random.randint(low, high)
        left = random.choice([n for n in range(most + 2, largest + 1) if n % (most + 1)])
        return self.position(f"{self.name}/{split}/{index}", left, most, ROLES[0], level)

    def position(self, name: str, left: int, most: int, role: str, level: int = 0) -> Problem:
        """`role` is to move and may take 1 to `most` of `left`."""
        return Problem(
            id=name,
            task=self.name,
            prompt=(Turn("user", f"take 1 to {most} of {left}"),),
            reference=str(left % (most + 1) or 1),
            difficulty=level,
            data={"left": left, "most": most, "role": role},
        )

    def play(self, position: Problem, answer: str | None) -> Problem | dict[str, float]:
        """The position after a move, for the other role; or what the game was worth to each role."""
        left, most, role = (position.data[name] for name in ("left", "most", "role"))
        other = ROLES[ROLES[0] == role]
        if answer is None or not 1 <= int(answer) <= min(left, most):
            return {role: -1.5, other: 0.5}
        if int(answer) == left:
            return {role: 1.0, other: -1.0}
        return self.position(position.id, left - int(answer), most, other, position.difficulty)

    def verify(self, response: str, problem: Problem) -> Verdict:
        said = (split_thought(response).answer or "").strip()
        if not re.fullmatch(r"[0-9]{1,3}", said):
            return Verdict("unparsable", detail="expected a number after </think>")
        left, most, taken = problem.data["left"], problem.data["most"], int(said)
        if not 1 <= taken <= min(left, most):
            return Verdict("wrong", answer=str(taken), detail="not allowed")
        best = left % (most + 1)
        return Verdict("right" if taken == best or not best else "wrong", answer=str(taken))

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        left, most = problem.data["left"], problem.data["most"]
        thought, answer = walk(1, [partial(_divide, left, most, key.random())], style, key.fold("walk").random(), slips)
        return join_thought(thought, str(answer))

    def corrupt(self, problem: Problem, key: Key) -> str:
        thought = split_thought(self.write(problem, "short", key)).thought
        other = [n for n in range(1, problem.data["most"] + 2) if str(n) != problem.reference]
        return join_thought(thought, str(key.fold("corrupt").random().choice(other)))


def _divide(left: int, most: int, random: Random, _: int, wrong: bool) -> tuple[str, int]:
    """What is over when the heap is divided into parts of most + 1: the move that wins."""
    over = left % (most + 1) or 1
    if wrong:
        over = random.choice([n for n in range(1, most + 1) if n != over])
    return f"{left}={left // (most + 1)}*{most + 1}+{over}", over
