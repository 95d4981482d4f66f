from dataclasses import replace
from typing import Any

from strop.curators.keep_correct import KeepCorrect
from strop.recipe import Recipe
from strop.recipes._defaults import rate
from strop.recipes.rft import rft


def expert_iteration(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 12,
    seed: int = 0,
    max_tokens: int = 160,
    problems: int = 128,
    samples: int = 8,
) -> Recipe:
    """Many short rounds: sample from the present weights, keep what is right, train on it once; `steps` counts rounds.

    Source: expert iteration, arXiv:1705.08439, with the verifier's choice among samples in place of tree search.

    Departures: each round learns from its own attempts alone; 12 rounds of 1,024 attempts are as many as three rounds
    of `rft`.
    """
    base = rft(
        task, model=model, data=data, steps=steps, seed=seed, problems=problems, samples=samples, max_tokens=max_tokens
    )
    curator = KeepCorrect(per_problem=4, distinct="text")
    optimizer = replace(base.stages[0].optimizer, lr=rate(model, 1e-4, 1e-5))
    stage = replace(base.stages[0], curator=curator, minibatches=4, epochs=1, optimizer=optimizer)
    return replace(
        base,
        name="expert_iteration",
        source="arXiv:1705.08439",
        baseline="rft",
        claim="Higher held-out accuracy than three large rounds, from as many attempts and as many updates.",
        stages=(stage,),
    )
