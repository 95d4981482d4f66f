from dataclasses import replace
from typing import Any

from strop.advantages.leave_one_out import LeaveOneOut
from strop.objectives.averages.token_mean import TokenMean
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.kl_penalty import KLPenalty
from strop.rewards.reflection_length import ReflectionLength


def arlcp(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    samples: int = 16,
    max_tokens: int = 160,
    kl_coef: float = 1e-3,
) -> Recipe:
    """RLOO that charges right answers for second thoughts where these are many, and for length where they are few.

    Source: ARLCP, arXiv:2602.12113; code ZeweiYu1/ARLCP.

    Departures: a response is said to reflect much from two words of reflection on and very much from three, where the
    code has 41 and 81 in 16,384 tokens: in proportion to the bundled model's budget, at least one apart; 16 problems of
    16 attempts in a step, so that it samples as much as GRPO here.
    """
    base = grpo(
        task, model=model, data=data, steps=steps, seed=seed, problems=16, samples=samples, max_tokens=max_tokens
    )
    stage = replace(
        base.stages[0],
        rewards=(
            Correctness(well_formed=True),
            ReflectionLength(thresholds=(1, 2)),
            KLPenalty(weight=kl_coef, estimator="k1"),
        ),
        advantage=LeaveOneOut(),
        average=TokenMean(),
    )
    return replace(
        base,
        name="arlcp",
        source="arXiv:2602.12113",
        baseline="grpo",
        claim="Shorter responses than GRPO at the same accuracy.",
        measure="length",
        direction="lower",
        stages=(stage,),
    )
