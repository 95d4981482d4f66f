from dataclasses import replace
from typing import Any

from strop.controllers.length_targets import LengthTargets
from strop.recipe import Recipe
from strop.recipes.laser import laser


def laser_d(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    every: int = 20,
    kl_coef: float = 1e-3,
    entropy_coef: float = 1e-3,
) -> Recipe:
    """LASER with a target for each difficulty, estimated anew as the policy changes: hard problems may take longer.

    Source: LASER-D, arXiv:2505.15612; code hkust-nlp/Laser.

    Departures: targets lie on a grid from a quarter of the token budget to all of it, in steps of a sixteenth, the
    proportions of the code's 4,096, 16,384 and 1,024; they are estimated from the training attempts of the last `every`
    steps, not from 500 problems set apart, so the first step has LASER's fixed target. The rest as in LASER here.
    """
    base = laser(
        task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens, kl_coef=kl_coef,
        entropy_coef=entropy_coef,
    )  # fmt: skip
    targets = LengthTargets(lower=max(1, max_tokens // 4), upper=max_tokens, step=max(1, max_tokens // 16), every=every)
    return replace(base, name="laser_d", stages=(replace(base.stages[0], controllers=(targets,)),))
