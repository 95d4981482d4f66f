"""Games of the policy against itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from strop.episodes import Sampler
from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Request, Trajectory
from strop.tasks import Game, Task


@piece
class SelfPlay:
    """One policy plays both sides of `samples` games from each problem; every move is an attempt of its own.

    A move is asked for as any problem is: the position is the prompt, the answer after the thought is the move. When a
    game has ended its moves come out, each as the only attempt at a problem `PROBLEM/game G/move M`, with what the game
    was worth to whoever made it in `problem.data["outcome"]` (1 won, -1 lost, 0 neither, or what the task says), for
    the reward `Outcome`. All games that go on make their next move together.

    Source: SPIRAL (arXiv:2506.24119): a shared policy for both roles, a training sample for each turn.

    >>> from strop.records import Completion
    >>> from strop.tasks.subtraction_game import SubtractionGame
    >>> class TakesOne:
    ...     tokenizer = type("T", (), {"prompt": lambda self, turns: np.array([7]), "decode": lambda self, t: "1"})()
    ...     def generate(self, requests):
    ...         for i, r in enumerate(requests):
    ...             yield Completion(request=i, sample=0, tokens=r.prompt, logp=np.zeros(1), finish="stop")
    >>> game = SubtractionGame()
    >>> start = game.position("subtraction_game/train/0", left=3, most=2, role="first")
    >>> moves = SelfPlay()([start], sampler=TakesOne(), task=game, samples=1, key=Key.root(0))
    >>> [(t.problem.question, t.problem.data["role"], t.problem.data["outcome"]) for t in moves]
    [('take 1 to 2 of 3', 'first', 1.0), ('take 1 to 2 of 2', 'second', -1.0), ('take 1 to 2 of 1', 'first', 1.0)]
    """

    max_tokens: Annotated[int, Field(ge=1)] = 160
    """Tokens a move may have with its thought, its end-of-turn token included."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """What logits are divided by."""
    max_moves: Annotated[int, Field(ge=1)] = 50
    """A game of so many moves ends with 0 for both."""

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        if not isinstance(task, Game):
            raise ConfigError(
                f"self_play needs a task whose positions can be played, such as subtraction_game; {task.name} cannot."
            )
        matches = [_Match(problem, game, problem) for problem in problems for game in range(samples)]
        while matches:
            for match, move in zip(matches, self._moves(matches, sampler, key), strict=True):
                match.moves.append(move)
                verdict = task.verify(move.text, move.problem)
                match.after = task.play(move.problem, verdict.answer)
                if match.ended(self.max_moves):
                    yield from match.told()
            matches = [match for match in matches if not match.ended(self.max_moves)]

    def _moves(self, matches: "Sequence[_Match]", sampler: Sampler, key: Key) -> list[Trajectory]:
        """The next move of every match."""
        tokenizer = sampler.tokenizer
        positions = [match.after for match in matches if isinstance(match.after, Problem)]
        requests = [
            Request(
                prompt=tokenizer.prompt(position.prompt),
                seeds=[key.fold(match.start.id, match.game, "move", len(match.moves)).uint64()],
                max_tokens=self.max_tokens,
                temperature=self.temperature,
            )
            for match, position in zip(matches, positions, strict=True)
        ]
        found: dict[int, Trajectory] = {}
        for done in sampler.generate(requests):
            found[done.request] = Trajectory(
                problem=positions[done.request],
                sample=0,
                text=tokenizer.decode(done.tokens),
                finish=done.finish,
                prompt_tokens=requests[done.request].prompt,
                tokens=done.tokens,
                mask=np.ones(len(done.tokens), dtype=bool),
                logp=done.logp,
                temperature=self.temperature,
            )
        return [found[i] for i in range(len(matches))]


@dataclass
class _Match:
    """One game, from its first position to what it was worth."""

    start: Problem
    game: int
    after: Problem | Mapping[str, float]
    moves: list[Trajectory] = field(default_factory=list)

    def ended(self, max_moves: int) -> bool:
        return not isinstance(self.after, Problem) or len(self.moves) >= max_moves

    def told(self) -> Iterator[Trajectory]:
        """The moves, each as an attempt at a problem of its own, with what the game was worth to who made it."""
        worth = {} if isinstance(self.after, Problem) else self.after
        for number, move in enumerate(self.moves):
            data = move.problem.data
            yield replace(
                move,
                problem=replace(
                    move.problem,
                    id=f"{self.start.id}/game {self.game}/move {number}",
                    data={**data, "outcome": float(worth.get(data["role"], 0.0))},
                ),
            )
