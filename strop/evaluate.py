"""Accuracy of any model on any task, outside a run."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.episodes import Sampler
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError
from strop.keys import Key
from strop.measure import OUTCOMES
from strop.piece import build
from strop.recipe import task_named
from strop.records import Group
from strop.scoring import score
from strop.statistics import bootstrap
from strop.store.files import write_file
from strop.tasks import Task, first_problems
from strop.text import is_address
from strop.verifiers import JudgePool, rule_of

if TYPE_CHECKING:
    from strop.models.quantise import Quantised


def evaluate_model(
    model: str,
    task: str | Task,
    *,
    data: str | None = None,
    problems: int = 512,
    samples: int = 1,
    temperature: float = 1.0,
    max_tokens: int = 160,
    style: str | None = None,
    precision: Any = "auto",
    seed: int = 0,
    slots: int = 256,
    quantise: "Quantised | None" = None,
) -> tuple[dict[str, Any], list[Group]]:
    """The share of right answers to the first `problems` held-out problems, and every answer.

    `model` may be a run folder: its last checkpoint is taken. The interval is a 95 % bootstrap interval over problems.
    """
    source: Task = task_named(task, data) if isinstance(task, str) else task
    episode = build(SingleTurn, {"max_tokens": max_tokens, "temperature": temperature, "style": style}, "eval")
    sampler = open_sampler(model, slots=slots, precision=precision, quantise=quantise)
    chosen = first_problems(source, "heldout", problems)
    started = time.perf_counter()
    with JudgePool(rule_of(source)) as judge:
        key = Key.root(seed).fold("eval")
        attempts = episode(chosen, sampler=sampler, task=source, samples=samples, key=key)
        groups = score(chosen, attempts, judge)
    seconds = time.perf_counter() - started
    every = [attempt for group in groups for attempt in group.trajectories]
    accuracy = np.array([group.scores.mean() for group in groups])
    result = {
        "model": model,
        "task": source.name,
        "problems": len(groups),
        "samples": samples,
        "accuracy": float(accuracy.mean()),
        "ci": list(bootstrap(accuracy, Key.root(seed).fold("interval"))),
        "length": float(np.mean([t.length for t in every])),
        "truncated": float(np.mean([t.finish == "length" for t in every])),
        "tokens_per_s": sum(t.length for t in every) / seconds,
        "verdicts": {
            o: sum(t.verdict is not None and t.verdict.outcome == o for t in every) / len(every) for o in OUTCOMES
        },
    }
    return result, groups


def open_sampler(
    model: str,
    *,
    reference: str | None = None,
    slots: int = 256,
    precision: Any = "auto",
    quantise: "Quantised | None" = None,
) -> Sampler:
    """A sampler of a model by name or folder, with a second model as its teacher where one is named.

    A run folder stands for its last checkpoint, `http://HOST:PORT/v1#NAME` for a model on a server. `quantise` holds
    the linear layers of `model` in 8 or 4 bits.
    """
    if is_address(model):
        if quantise is not None:
            raise ConfigError(f"The weights of {model} are on a server: quantise them there, without --quantise.")
        from strop.backends.http import open_sampler as on_server

        return on_server(model, teacher=None if reference is None else open_sampler(reference, precision=precision))
    from strop.backends.torch.sampler import TorchSampler
    from strop.models import language_model

    held = "layercast" if precision == "layercast" else "fp32"
    second = None if reference is None else language_model.placed(language_model.load(reference, held))
    teacher = None if second is None else TorchSampler(second, slots=slots, precision=precision)
    own = language_model.placed(language_model.load(model, held, quantised=quantise))
    return TorchSampler(own, slots=slots, precision=precision, teacher=teacher)


def write_rollouts(groups: Sequence[Group], path: Path) -> None:
    """Every answer as a line of JSON, in the format that probes and decoders read."""
    lines = [
        json.dumps(
            {
                "problem_id": t.problem.id,
                "sample": t.sample,
                "response": t.text,
                "answer": t.verdict.answer if t.verdict else None,
                "reference": t.problem.reference,
                "correct": bool(t.verdict and t.verdict.outcome == "right"),
                "tokens": t.length,
            },
            ensure_ascii=False,
        )
        for group in groups
        for t in group.trajectories
    ]
    write_file(path, ("\n".join(lines) + "\n").encode("utf-8", "replace"))
