from dataclasses import replace
from typing import Any

from strop.objectives.averages.token_mean import TokenMean
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.distance_to_shortest import DistanceToShortest


def shorter_better(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    kl_coef: float = 1e-3,
) -> Recipe:
    """GRPO that charges every response for its distance to the shortest right one of its group.

    Source: ShorterBetter, arXiv:2504.21370; code JingyangYi/ShorterBetter.

    Departures: a token costs 6 / `max_tokens`, so that the whole budget costs what the code's 6,000 tokens at 0.001 do,
    three times a right answer; temperature 1 and one optimiser step for each rollout as in GRPO here, where the code
    has 0.9 and eight.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens, kl_coef=kl_coef)
    stage = replace(
        base.stages[0],
        rewards=(Correctness(weight=2.0), DistanceToShortest(weight=6.0 / max_tokens)),
        average=TokenMean(),
    )
    return replace(
        base,
        name="shorter_better",
        source="arXiv:2504.21370",
        baseline="grpo",
        claim="Shorter responses than GRPO at the same accuracy.",
        measure="length",
        direction="lower",
        stages=(stage,),
    )
