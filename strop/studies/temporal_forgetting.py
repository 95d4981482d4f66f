from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from strop.errors import ConfigError
from strop.recipes.grpo import grpo
from strop.study.records import Arm, Study, Table


def temporal_forgetting(
    *,
    seeds: int = 3,
    task: Any = "countdown",
    model: str = "nano",
    data: str | None = None,
    steps: int = 160,
    checkpoints: int = 8,
    budget: int = 64,
    problems: int = 256,
    warm: Sequence[float] = (1.1, 1.3),
) -> Study:
    """Do the checkpoints of a run together solve what its last one does not? `budget` answers to each problem.

    One run of GRPO for each seed keeps `checkpoints` of its models, evenly spaced; every other arm answers with these.
    `last-8` takes turns among the newest eight, `final` draws all answers from the last one. Three controls tell what
    that says of forgetting: `best` draws all answers from the single checkpoint that is right most often on these very
    problems, `warm-1.1` and the like from the last one at a higher temperature, and all arms have the same budget.
    Greedy answers of each checkpoint say how much is forgotten.

    Source: Temporal Sampling for Forgotten Reasoning (arXiv:2505.20196): 8 checkpoints, 32 steps apart, 64 samples.

    Departures: temperature 1 instead of 0.6, since the bundled model was trained to be sampled so.
    """
    if not 2 <= checkpoints <= steps:
        raise ConfigError(f"checkpoints must be from 2 to the number of steps, {steps}; got {checkpoints}.")
    every = steps // checkpoints
    base = grpo(task, model=model, data=data, steps=every * checkpoints)
    heldout = replace(base.heldout, problems=problems, quick=problems, every=every)
    recipe = replace(base, heldout=heldout, checkpoint_every=every, keep=0)
    turns = sorted({t for t in (2, 4, 8, 16, 32) if t < checkpoints} | {checkpoints}, reverse=True)
    warmer = {f"warm-{temperature:g}": f"1~{temperature:g}" for temperature in warm}
    ways = {"final": "1"} | {f"last-{t}": str(t) for t in turns} | {"best": "best"} | warmer
    measures = (f"pass@{budget}", f"majority@{budget}")
    arms = tuple(
        Arm(
            name=name,
            recipe=recipe,
            factors={"answers from": name},
            run="" if name == "final" else "final",
            reads={measure: f"{measure}|{way}" for measure in measures},
        )
        for name, way in ways.items()
    )
    lead = f"last-{checkpoints}"

    def read(tables: Mapping[str, Table]) -> dict[str, Table]:
        found = {f"{lead} - {other}": tables[lead] - tables[other] for other in ("final", "best", *warmer)}
        return found | {f"last-{t} - final": tables[f"last-{t}"] - tables["final"] for t in turns[1:]}

    def alone(label: str) -> Any:
        return lambda tables: {label: tables["final"]}

    return Study(
        name=f"temporal_forgetting-{base.task.name}",
        question=f"{budget} answers to each problem: from the last checkpoint, or from {checkpoints} in turns?",
        claim=f"Answers dealt out over {checkpoints} checkpoints solve more problems than as many from the last one.",
        direction="higher",
        arms=arms,
        read=read,
        readers={"forgetting": alone("right on the way, not at the end"), "ever_correct": alone("right on the way")},
        seeds=tuple(range(seeds)),
        measures=(*measures, "forgetting", "ever_correct"),
        match="steps",
    )
