"""What recipes share: the frame of a run of one stage, how a task is named, how fast a model of a given kind learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop.episodes.answer_hint import AnswerHint
from strop.episodes.single_turn import SingleTurn
from strop.objectives.regularisation.reference_kl import ReferenceKL
from strop.recipe import Heldout, Recipe, Stage, Term, task_named

BUNDLED = ("micro", "nano", "mini")
TEACHER = "nano"
"""The bundled model that distillation learns from where no other is named: of those there are, the best."""


def one_stage(
    stage: Stage,
    *,
    name: str,
    task: Any,
    data: str | None,
    model: str,
    seed: int,
    max_tokens: int,
    source: str = "",
    baseline: str = "",
    claim: str = "",
    rounds: bool = False,
) -> Recipe:
    """A run of one stage, measured by single answers of at most `max_tokens`.

    `rounds` says that a step is a whole round of sampling and training: it is measured and saved after each.
    """
    episode = SingleTurn(max_tokens=max_tokens)
    recipe = Recipe(
        name=name,
        source=source,
        baseline=baseline,
        claim=claim,
        model=model,
        task=resolve(task, data),
        seed=seed,
        heldout=Heldout(episode=episode),
        stages=(stage,),
    )
    return replace(recipe, heldout=Heldout(episode=episode, every=1), checkpoint_every=1) if rounds else recipe


def resolve(task: Any, data: str | None) -> Any:
    """A task piece from a name, or the piece itself."""
    return task_named(task, data) if isinstance(task, str) else task


def is_bundled(model: str) -> bool:
    """Whether it is one of the small models shipped with strop, of their shape, or a run that began with one."""
    if model in BUNDLED or model.startswith("scratch:"):
        return True
    try:
        began = json.loads((Path(model) / "recipe.json").read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(began, str) and began != model and is_bundled(began)


def rate(model: str, bundled: float, real: float) -> float:
    """A learning rate: `bundled` for the small models shipped with strop, `real` for pre-trained checkpoints.

    A model of 3 M parameters wants steps two orders larger than one of 1 B, so one number cannot serve both.
    """
    return bundled if is_bundled(model) else real


def hinted(episode: Any, model: str, hint: str | None) -> AnswerHint:
    """The episode with the answer shown by `hint`, or as the model may understand it.

    The bundled models know no instructions; for them an answer is what stands after an equals sign.
    """
    if hint is not None:
        return AnswerHint(base=episode, hint=hint)
    return AnswerHint(base=episode, hint="={answer}") if is_bundled(model) else AnswerHint(base=episode)


def with_reference_kl(objective: Any, coef: float) -> Any:
    """The objective, and beside it a k3 penalty for leaving the reference where `coef` is not 0."""
    return (Term(objective=objective), Term(objective=ReferenceKL(), weight=coef)) if coef else objective
