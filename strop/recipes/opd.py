from dataclasses import replace
from typing import Any, Literal

from strop.advantages.credit.teacher_advantage import TeacherAdvantage
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.distillation.reverse_kl import ReverseKL
from strop.recipe import AdamW, Recipe
from strop.recipes._defaults import TEACHER, rate
from strop.recipes.grpo import grpo


def opd(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    teacher: str = TEACHER,
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    problems: int = 128,
    max_tokens: int = 160,
    estimate: Literal["vocabulary", "sampled"] = "vocabulary",
) -> Recipe:
    """On-policy distillation: the policy writes, the teacher judges each of its tokens; no verifier.

    Over the whole `vocabulary` the loss is KL(policy || teacher) of each token's distribution; `sampled` estimates it
    from the written token alone, as an advantage: cheaper for a teacher behind a server, with a noisier gradient.

    Source: On-Policy Distillation (Lu et al., Thinking Machines Lab, 2025); MiniLLM, arXiv:2306.08543; GKD,
    arXiv:2306.13649, at beta = 1 and lambda = 1.

    Departures: the sampled estimate is cut at 10 nats.
    """
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, problems=problems, samples=1,
                max_tokens=max_tokens)  # fmt: skip
    stage = replace(
        base.stages[0], name="distil", rewards=(), average=TokenMean(), optimizer=AdamW(lr=rate(model, 2e-4, 1e-5))
    )
    stage = (
        replace(stage, advantage=None, objective=ReverseKL())
        if estimate == "vocabulary"
        else replace(stage, credit=TeacherAdvantage())
    )
    return replace(
        base,
        name="opd",
        teacher=teacher,
        source="arXiv:2306.13649",
        baseline="fkl",
        claim="Higher held-out accuracy than the teacher's distributions on given responses, as many of them.",
        stages=(stage,),
    )
