"""Records the tiny trajectory of each recipe that `tests/test_golden.py` compares with.

    python tests/golden/record.py [RECIPE ...]

Run it only after a change that is meant to change results, and say so in the commit.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop import catalogue, flow
from strop.progress import progress
from strop.recipe import Heldout, Recipe

HERE = Path(__file__).parent
NUMBERS = (
    "loss",
    "grad_norm",
    "reward/mean",
    "accuracy/train",
    "length/mean",
    "accuracy/heldout",
    "lr",
    "kl",
    "tokens",
)


def recipes() -> list[str]:
    return [entry.name for entry in catalogue.room("recipes")]


def tiny(name: str) -> Recipe:
    """The recipe at a size of seconds: its own pieces and rates, a small batch, fp32."""
    recipe = catalogue.load(name, "recipes")()
    stages = tuple(
        replace(stage, steps=3, problems=6, samples=min(stage.samples, 4), minibatches=min(stage.minibatches, 2))
        for stage in recipe.stages
    )
    episode = replace(recipe.heldout.episode, max_tokens=64)
    return replace(
        recipe,
        stages=stages,
        heldout=Heldout(problems=16, every=0, episode=episode),
        precision="fp32",
        checkpoint_every=0,
    )


def trajectory(name: str) -> list[dict[str, Any]]:
    """The numbers of each step."""
    with tempfile.TemporaryDirectory() as folder:
        run = flow.run(tiny(name), out=Path(folder) / "run", display=progress("silent"))
        return [
            {"step": row["step"]} | {n: row[n] for n in NUMBERS if row.get(n) is not None}
            for row in run.metrics.to_pylist()
        ]


if __name__ == "__main__":
    for name in sys.argv[1:] or recipes():
        (HERE / f"{name}.json").write_text(json.dumps(trajectory(name), indent=1) + "\n")
        print(name)
