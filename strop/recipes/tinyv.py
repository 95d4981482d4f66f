from dataclasses import replace
from typing import Any

from strop.episodes.from_data import FromData
from strop.episodes.single_turn import SingleTurn
from strop.recipe import AdamW, Heldout, Recipe
from strop.recipes._defaults import rate, resolve
from strop.recipes.sft import sft
from strop.tasks.mixture import Mixture
from strop.tasks.same_answer import SameAnswer
from strop.verifiers.exact import Exact

TASKS = {"arithmetic": 3.0, "list_functions": 1.0, "biographies": 0.5}
"""Whose answers the bundled verifier has learned to read, and how often each is drawn."""


def tinyv(
    task: Any = None,
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 1200,
    seed: int = 0,
    problems: int = 128,
) -> Recipe:
    """A small verifier: reads question, reference and answer, and says whether the answer is right in one word.

    Trained on pairs that a string match rejects, half of them right. `task` is whose questions and references they are
    made of (default: a mixture of bundled ones). Held-out accuracy is that of the verifier. The run can judge at once:
    `strop verify FILE --verifier cascade --set judge=RUN`.

    Source: TinyV, arXiv:2505.14625; code uw-nsl/TinyV: a 1.5 B instruct model, 1e-5, cosine, warm-up 0.1, two epochs of
    159,136 balanced rows.

    Departures: rows are written and labelled by rules, ever new ones; the bundled model has 3 M parameters.
    """
    source = mixture() if task is None and data is None else resolve(task or "gsm8k", data)
    base = sft(SameAnswer(task=source, rule=Exact()), model=model, steps=steps, seed=seed, problems=problems)
    stage = replace(
        base.stages[0],
        name="verifier",
        episode=FromData(direct=1, short=0),
        optimizer=AdamW(lr=rate(model, 1e-3, 1e-5), schedule="cosine", warmup=max(1, steps // 10)),
    )
    return replace(
        base,
        name="tinyv",
        source="arXiv:2505.14625",
        stages=(stage,),
        # the likelier word is what a verifier says
        heldout=Heldout(episode=SingleTurn(max_tokens=2, temperature=0), every=50),
    )


def mixture() -> Mixture:
    """Whole numbers, lists and names."""
    return Mixture(tasks=tuple(resolve(name, None) for name in TASKS), weights=tuple(TASKS.values()))
