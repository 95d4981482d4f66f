from dataclasses import replace
from typing import Any

from strop.curators.keep_correct import KeepCorrect
from strop.episodes.with_demonstrations import WithDemonstrations
from strop.recipe import Recipe
from strop.recipes._defaults import hinted, rate
from strop.recipes.rft import rft


def star(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 3,
    seed: int = 0,
    max_tokens: int = 160,
    problems: int = 512,
    samples: int = 8,
    hint: str | None = None,
) -> Recipe:
    """Self-taught reasoning: each round starts from the first weights, with the right answers of the latest ones.

    Source: STaR, arXiv:2203.14465. A problem without a right answer gets one more attempt with the answer shown
    (`hint`), whose thought is learned without it.

    Departures: `samples` attempts at each problem, where the paper takes the likeliest answer; fresh problems in each
    round; the number of updates does not grow. Each problem has its hinted attempt, used only where it is needed. The
    bundled models know no instructions: their hint is the answer after an equals sign.
    """
    base = rft(
        task, model=model, data=data, steps=steps, seed=seed, problems=problems, samples=samples, max_tokens=max_tokens
    )
    first = base.stages[0]
    stage = replace(
        first,
        episode=WithDemonstrations(base=first.episode, demonstrations=hinted(first.episode, model, hint)),
        curator=KeepCorrect(per_problem=2, distinct="text", own_first=True),
        minibatches=16,
        restart=True,
        # twice this learns as much, five times this ends where it began
        optimizer=replace(first.optimizer, lr=rate(model, 1e-4, 1e-5)),
    )
    return replace(
        base,
        name="star",
        source="arXiv:2203.14465",
        baseline="rft",
        claim="Higher held-out accuracy than going on from the present weights, at equal samples.",
        stages=(stage,),
    )
