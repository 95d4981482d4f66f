from dataclasses import replace
from typing import Any

from strop.advantages.reference_baseline import ReferenceBaseline
from strop.episodes.by_teacher import ByTeacher
from strop.episodes.prefilled import Prefilled
from strop.episodes.with_demonstrations import WithDemonstrations
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import Recipe, Term
from strop.recipes._defaults import is_bundled
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness
from strop.rewards.skipped_thought import SkippedThought


def adapt_think(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    samples: int = 8,
    max_tokens: int = 160,
    delta: float = 0.05,
    word: str | None = None,
    reference_samples: int = 8,
) -> Recipe:
    """Half of the attempts are made to answer at once, half to think; answering at once wins where it is as right.

    Source: AdaptThink, arXiv:2505.13417; code THU-KEG/AdaptThink. The advantage is `delta` for an empty thought, plus
    whether the answer is right, minus how often the first model is right when it thinks. `word` is the first word of
    every forced thought ("Alright" in the code).

    Departures: the first model's `reference_samples` attempts (the paper's 16) are made beside the policy's, since
    problems are new at each step; they are no part of what is learned from, but of what is sampled. One token budget
    for both ways of answering, where the paper gives answers at once a quarter. Token-level ratios, as in the paper;
    the code has one for each response. The bundled models' thoughts begin with a blank; where they cannot answer
    without a thought (their arithmetic), `countdown` is a task on which they can.
    """
    first = word if word is not None else " " if is_bundled(model) else "Alright"
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, samples=samples, max_tokens=max_tokens)
    forced = Prefilled(opening="<think>", choices=("</think>", first), max_tokens=max_tokens)
    thinking = Prefilled(opening=f"<think>{first}", max_tokens=max_tokens)
    stage = replace(
        base.stages[0],
        episode=WithDemonstrations(base=forced, demonstrations=ByTeacher(base=thinking), extra=reference_samples),
        rewards=(Correctness(well_formed=True), SkippedThought(weight=delta)),
        advantage=ReferenceBaseline(),
        objective=(Term(objective=ClipHigher(low=0.2, high=0.2), origins=("policy",)),),
    )
    return replace(
        base,
        name="adapt_think",
        source="arXiv:2505.13417",
        baseline="grpo",
        claim="Shorter answers than GRPO's without losing accuracy.",
        measure="length",
        direction="lower",
        teacher=model,
        stages=(stage,),
    )
