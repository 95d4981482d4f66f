from dataclasses import replace

from strop.recipe import Recipe
from strop.recipes.grpo import grpo


def quickstart(*, steps: int = 60, seed: int = 0) -> Recipe:
    """GRPO on arithmetic chains with the bundled model: minutes on two cores.

    Source: DeepSeekMath, arXiv:2402.03300, eq. 3.
    """
    return replace(grpo("arithmetic", steps=steps, seed=seed, max_tokens=128), name="quickstart")
