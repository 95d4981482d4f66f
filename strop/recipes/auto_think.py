from dataclasses import replace
from typing import Any

from strop.episodes.prefilled import Prefilled
from strop.recipe import Recipe
from strop.recipes._defaults import is_bundled
from strop.recipes.grpo import grpo
from strop.rewards.length_score import LengthScore
from strop.rewards.thought_balance import ThoughtBalance


def auto_think(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    opening: str | None = None,
) -> Recipe:
    """Think or answer at once, the model's own choice: first both are kept alive, then both get better, then shorter.

    Source: AutoThink, arXiv:2505.10832; code ScienceOne-AI/AutoThink. Responses begin with an ellipsis (`opening`),
    after which the model may close the block or go on. The three stages have a third, two thirds and all of the token
    budget, as the paper's 8k, 16k and 24k.

    Departures: the stages have a third of the steps each; a batch of 32 problems throughout. The bundled models choose
    by themselves and know no ellipsis: their opening is the bare tag. Where they cannot answer without a thought (their
    arithmetic), there is nothing to choose; `countdown` is a task on which they can.
    """
    begin = opening if opening is not None else "<think>" if is_bundled(model) else "<think>\n...\n"
    base = grpo(task, model=model, data=data, seed=seed, max_tokens=max_tokens)
    plain = ThoughtBalance(share=1.0)
    stages = (("balance", (ThoughtBalance(),)), ("accuracy", (plain,)), ("length", (plain, LengthScore())))
    return replace(
        base,
        name="auto_think",
        source="arXiv:2505.10832",
        baseline="grpo",
        claim="Shorter answers than GRPO's without losing accuracy.",
        measure="length",
        direction="lower",
        heldout=replace(base.heldout, episode=Prefilled(opening=begin, max_tokens=max_tokens)),
        stages=tuple(
            replace(
                base.stages[0],
                name=name,
                steps=steps * (number + 1) // 3 - steps * number // 3,
                episode=Prefilled(opening=begin, max_tokens=max(2, max_tokens * (number + 1) // 3)),
                rewards=rewards,
            )
            for number, (name, rewards) in enumerate(stages)
        ),
    )
