from dataclasses import replace
from typing import Any

from strop.advantages.group_norm import GroupNorm
from strop.controllers.reference_reset import ReferenceReset
from strop.objectives.policy_gradient.mirror_descent import MirrorDescent
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness


def kimi_k1_5(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    tau: float = 0.1,
) -> Recipe:
    """Online policy mirror descent: a squared loss that stays near the policy of the rollout, no critic, no clip.

    Source: Kimi k1.5, arXiv:2501.12599, section 2.3.

    Departures: tau is not given in the paper. Its length reward is in `kimi_long2short`; its curriculum and its partial
    rollouts are not part of this recipe.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    stage = replace(
        base.stages[0],
        rewards=(Correctness(),),
        advantage=GroupNorm(std="none"),
        objective=MirrorDescent(tau=tau),
        # the optimiser starts afresh in every iteration
        controllers=(ReferenceReset(every=1, patience=0),),
        minibatches=4,
    )
    return replace(
        base,
        name="kimi_k1_5",
        source="arXiv:2501.12599",
        baseline="rft",
        claim="Higher held-out accuracy than training on right answers alone: wrong ones teach too.",
        stages=(stage,),
    )
