from dataclasses import replace
from typing import Any

from strop.advantages.role_baseline import RoleBaseline
from strop.episodes.self_play import SelfPlay
from strop.objectives.averages.fixed_length import FixedLength
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.outcome import Outcome


def spiral(
    task: Any = "subtraction_game",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    games: int = 64,
    max_tokens: int = 160,
    typical_length: int = 64,
) -> Recipe:
    """Self-play on a zero-sum game: every move learns from who won, relative to how its side usually fares.

    Source: SPIRAL, arXiv:2506.24119; code spiral-rl/spiral.

    Departures: a game whose best moves can be computed stands for Kuhn poker, tic-tac-toe and negotiation, so that
    play can be judged without opponents: the measure is the share of held-out positions in which the model wins. All
    moves of a batch of games are one optimiser step, on which the paper makes two passes of smaller ones. The
    constant that a move's loss is divided by is a typical length (`typical_length`, tokens), not the token budget.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, problems=games, samples=1, max_tokens=max_tokens)
    stage = replace(
        base.stages[0],
        episode=SelfPlay(max_tokens=max_tokens),
        rewards=(Outcome(),),
        advantage=RoleBaseline(),
        average=FixedLength(length=typical_length),
    )
    return replace(
        base,
        name="spiral",
        source="arXiv:2506.24119",
        baseline="start",
        claim="More held-out positions are won than before training, from self-play alone.",
        stages=(stage,),
    )
