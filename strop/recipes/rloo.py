from dataclasses import replace
from typing import Any

from strop.advantages.leave_one_out import LeaveOneOut
from strop.objectives.averages.fixed_length import FixedLength
from strop.recipe import Recipe
from strop.recipes.grpo import grpo


def rloo(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    samples: int = 4,
    max_tokens: int = 160,
    typical_length: int = 64,
) -> Recipe:
    """REINFORCE with the mean reward of the other attempts as baseline; a response is one action.

    Source: Back to Basics, arXiv:2402.14740, eq. 7.

    Departures: the sum over a response's tokens is divided by a constant (`typical_length`, tokens), which only
    rescales the learning rate; the KL term in the reward is off; one optimiser step for each rollout, so the ratio
    is 1.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, samples=samples, max_tokens=max_tokens)
    stage = replace(base.stages[0], advantage=LeaveOneOut(), average=FixedLength(length=typical_length))
    return replace(
        base,
        name="rloo",
        source="arXiv:2402.14740",
        baseline="grpo",
        claim="As accurate as methods with a learned or normalised baseline, with less machinery.",
        stages=(stage,),
    )
