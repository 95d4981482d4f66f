from dataclasses import replace
from typing import Any

from strop.episodes.either import Either
from strop.episodes.flawed_start import FlawedStart
from strop.episodes.prefilled import Prefilled
from strop.episodes.single_turn import SingleTurn
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness


def mixed_cot_rl(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    flawed_share: float = 0.5,
    rule_share: float = 0.5,
) -> Recipe:
    """GRPO in which half of the problems are gone on with from a thought whose first step is wrong.

    Source: Mixed-CoT-RL, arXiv:2512.17079. `rule_share` of the mistakes are in a rule, the others in a calculation;
    all attempts at a problem have the same one, which carries no loss. How often the model recovers from a mistake
    is what the study `flawed_starts` measures; held-out problems here are clean.

    Departures: all weights are trained, where the paper trains LoRA; the paper does not give the shares.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    flawed = Prefilled(opening="", starts=FlawedStart(rule_share=rule_share), max_tokens=max_tokens)
    stage = replace(
        base.stages[0],
        episode=Either(first=flawed, second=SingleTurn(max_tokens=max_tokens), share=flawed_share),
        rewards=(Correctness(),),
    )
    return replace(
        base,
        name="mixed_cot_rl",
        source="arXiv:2512.17079",
        baseline="grpo",
        claim="As accurate as GRPO on clean problems, and more often right after a flawed first step.",
        direction="equal",
        stages=(stage,),
    )
