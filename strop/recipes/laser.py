from dataclasses import replace
from typing import Any

from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.regularisation.entropy_bonus import EntropyBonus
from strop.objectives.regularisation.reference_kl import ReferenceKL
from strop.recipe import Recipe, Term
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.length_target import LengthTarget


def laser(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    target: int | None = None,
    kl_coef: float = 1e-3,
    entropy_coef: float = 1e-3,
) -> Recipe:
    """GRPO with a bonus for right answers within a fixed length, and none lost by those beyond it.

    Source: LASER, arXiv:2505.15612; code hkust-nlp/Laser.

    Departures: `target` is a quarter of the token budget, the proportion of the code's 4,096 of 16,384; temperature 1
    and one optimiser step for each rollout as in GRPO here, where the code has 0.6 and two.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    length = max(1, max_tokens // 4) if target is None else target
    stage = replace(
        base.stages[0],
        rewards=(
            Correctness(wrong=-0.5, unparsable=-1.0, malformed=-1.0),
            LengthTarget(targets=(length, length, length)),
        ),
        objective=(
            Term(objective=ClipHigher(low=0.2, high=0.28)),
            Term(objective=ReferenceKL(), weight=kl_coef),
            Term(objective=EntropyBonus(), weight=entropy_coef),
        ),
        average=TokenMean(),
    )
    return replace(
        base,
        name="laser",
        source="arXiv:2505.15612",
        baseline="grpo",
        claim="Shorter responses than GRPO at the same accuracy.",
        measure="length",
        direction="lower",
        stages=(stage,),
    )
