from dataclasses import replace
from typing import Any

from strop.curricula.uniform import Uniform
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.length_history import LengthHistory


def hapo(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    pool: int = 640,
    kl_coef: float = 0.04,
) -> Recipe:
    """GRPO over problems that come back, each time with the shortest right answer so far as the length to beat.

    Source: HAPO, arXiv:2505.11225; code HCY123902/HAPO.

    Departures: `pool` problems, of which 100 steps make five epochs, as many as the code makes of its 2,000; 8 attempts
    at temperature 1 as in GRPO here, where the code has 2 at 0.7.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens, kl_coef=kl_coef)
    stage = replace(base.stages[0], curriculum=Uniform(pool=pool), rewards=(Correctness(), LengthHistory()))
    return replace(
        base,
        name="hapo",
        source="arXiv:2505.11225",
        baseline="grpo",
        claim="Shorter responses than GRPO at the same accuracy.",
        measure="length",
        direction="lower",
        stages=(stage,),
    )
