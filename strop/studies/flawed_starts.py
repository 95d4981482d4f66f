from dataclasses import replace
from typing import Any

from strop.episodes.flawed_start import FlawedStart
from strop.episodes.prefilled import Prefilled
from strop.recipes.grpo import grpo
from strop.recipes.mixed_cot_rl import mixed_cot_rl
from strop.study.match import matched
from strop.study.records import Arm, Study, over


def flawed_starts(
    *,
    seeds: int = 3,
    task: Any = "arithmetic",
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    max_tokens: int = 160,
) -> Study:
    """Who recovers from a wrong first step? Held-out answers begin with one, whatever was trained on.

    The arms are the model as it is, GRPO on clean problems (the baseline), and GRPO where half of the problems, or all
    of them, are gone on with from a flawed step.

    Source: Mixed-CoT-RL, arXiv:2512.17079: clean training makes recovery slightly worse than none, training on flawed
    steps makes it better.
    """
    shared: dict[str, Any] = {"model": model, "data": data, "max_tokens": max_tokens}
    recipes = {
        "untrained": grpo(task, steps=0, **shared),
        "clean": grpo(task, steps=steps, **shared),
        "mixed": mixed_cot_rl(task, steps=steps, **shared),
        "flawed": mixed_cot_rl(task, steps=steps, flawed_share=1.0, **shared),
    }
    begun = Prefilled(opening="", starts=FlawedStart(), max_tokens=max_tokens)
    asked = {name: replace(r, heldout=replace(r.heldout, episode=begun)) for name, r in recipes.items()}
    made = matched(asked, "clean", "steps")
    return Study(
        name=f"flawed_starts-{made['clean'].task.name}",
        question="Does practice on flawed first steps help to recover from them?",
        arms=tuple(Arm(name=name, recipe=recipe, factors={"training": name}) for name, recipe in made.items()),
        read=over("clean"),
        seeds=tuple(range(seeds)),
        match="steps",
    )
