from dataclasses import replace
from typing import Any

from strop.episodes.from_data import FromData
from strop.recipe import Recipe
from strop.recipes._defaults import rate
from strop.recipes.grpo import grpo
from strop.recipes.rft import rft
from strop.recipes.sft import sft


def deepseek_r1(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    restart: bool = True,
) -> Recipe:
    """Four stages: cold start on long thoughts, GRPO, fine-tuning on its right answers, GRPO again.

    Source: DeepSeek-R1, arXiv:2501.12948, section 2.3. The third stage samples from the second's weights and trains the
    first ones (`restart`); R1-Zero, reinforcement alone, is `grpo`.

    Departures: one language, so no reward for keeping to it; no general prompts and no preference models, so the last
    stage is the second again. A tenth of the steps is the cold start; the third stage is one step of many updates.
    """
    shared: dict[str, Any] = {"model": model, "data": data, "seed": seed, "max_tokens": max_tokens}
    cold = max(1, steps // 10)
    base = grpo(task, steps=(steps - cold) // 2, **shared)
    begin, learn = sft(task, steps=cold, **shared).stages[0], base.stages[0]
    select = rft(task, steps=1, problems=512, samples=8, **shared).stages[0]
    optimizer = replace(select.optimizer, lr=rate(model, 1e-4, 1e-5))
    stages = (
        replace(begin, name="cold start", episode=FromData(short=0.0, long=1.0, max_tokens=max_tokens)),
        replace(learn, name="reasoning", forget=1),
        replace(select, name="rejection sampling", restart=restart, minibatches=16, optimizer=optimizer),
        replace(learn, name="last", steps=steps - cold - learn.steps, forget=2),
    )
    return replace(
        base,
        name="deepseek_r1",
        source="arXiv:2501.12948",
        baseline="grpo",
        claim="Higher held-out accuracy than GRPO alone at as many reinforcement steps or more.",
        stages=stages,
    )
