from dataclasses import replace
from typing import Any

from strop.curricula.dynamic_sampling import DynamicSampling
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.soft_overlong import SoftOverlong


def dapo(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
) -> Recipe:
    """Decoupled clip and dynamic sampling: a higher upper clip, token mean, no flat groups, a soft length penalty.

    Source: DAPO, arXiv:2503.14476, eqs. 8 and 10 to 13.

    Departures: four optimiser steps for each rollout where the paper has sixteen (the bundled model's batches are
    smaller); the soft penalty starts at 4/5 of the token budget, the paper's proportion.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    stage = replace(
        base.stages[0],
        curriculum=DynamicSampling(),
        rewards=(Correctness(wrong=-1.0), SoftOverlong(max_length=max_tokens, buffer=max(1, max_tokens // 5))),
        objective=ClipHigher(low=0.2, high=0.28),
        average=TokenMean(),
        minibatches=4,
    )
    return replace(
        base,
        name="dapo",
        source="arXiv:2503.14476",
        baseline="grpo",
        claim="Higher held-out accuracy than GRPO at an equal number of updates.",
        stages=(stage,),
    )
