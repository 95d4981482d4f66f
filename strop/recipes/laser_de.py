from dataclasses import replace
from typing import Any

from strop.recipe import Recipe
from strop.recipes.laser_d import laser_d


def laser_de(
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
    """LASER-D that also pays wrong answers for going on beyond the target, unless they go round in circles.

    Source: LASER-DE, arXiv:2505.15612; code hkust-nlp/Laser.

    Departures: repetition is told by runs of 8 tokens that come three times, or of 16 that come twice, at any length;
    the code's rules for responses below 30, 100 and 200 tokens would call every recheck of a sum a repetition. As
    released, the code finds none at all. The rest as in LASER-D here.
    """
    base = laser_d(
        task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens, every=every, kl_coef=kl_coef,
        entropy_coef=entropy_coef,
    )  # fmt: skip
    score, target = base.stages[0].rewards
    target = replace(target, explore=True, gram=8, brief=(0, 0, 0))
    return replace(base, name="laser_de", stages=(replace(base.stages[0], rewards=(score, target)),))
