from dataclasses import replace
from typing import Any

from strop.advantages.group_norm import GroupNorm
from strop.objectives.averages.fixed_length import FixedLength
from strop.recipe import Recipe
from strop.recipes.grpo import grpo


def dr_grpo(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    typical_length: int = 64,
) -> Recipe:
    """GRPO without its two biases: no division by the group's standard deviation, none by a response's own length.

    Source: Understanding R1-Zero-Like Training, arXiv:2503.20783, section 3; code sail-sg/understand-r1-zero.

    Departures: the paper divides by the generation budget; that constant only rescales the learning rate, so the
    bundled model divides by a typical length (`typical_length`, tokens) and keeps GRPO's rate.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    stage = replace(base.stages[0], advantage=GroupNorm(std="none"), average=FixedLength(length=typical_length))
    return replace(
        base,
        name="dr_grpo",
        source="arXiv:2503.20783",
        baseline="grpo",
        claim="Wrong responses stay shorter than under GRPO at equal accuracy.",
        measure="wrong_length",
        direction="lower",
        stages=(stage,),
    )
