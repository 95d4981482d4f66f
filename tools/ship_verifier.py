"""Put a verifier into the package: bf16 weights, tokenizer, and a card with how often it is right by class of form.

strop run tinyv --out runs/tinyv
python tools/ship_verifier.py runs/tinyv
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ship_model import ship

from strop.models.answer_model import BUNDLED, AnswerModel
from strop.recipe import from_data
from strop.store.run import Run
from strop.store.summary import summary
from strop.tasks._forms import CLASSES

THRESHOLDS = (0.5, 0.8, 0.9)


def card(run: Run, problems: int) -> str:
    """The verifier's page: how it was made and how often it is right, as measured now."""
    task = from_data(run.recipe).task
    model = AnswerModel(BUNDLED, ("true", "false"))
    shown = [task.problem("heldout", index) for index in range(problems)]
    parts = (shown[i : i + 64] for i in range(0, problems, 64))
    said = np.array([each for part in parts for each in model([problem.prompt for problem in part])])
    label = np.array([problem.reference == "true" for problem in shown])
    group = np.array([problem.difficulty for problem in shown])
    steps, minutes = run.recipe["stages"][0]["steps"], summary(run)["seconds"] / 60
    lines = [
        f"`{BUNDLED}`: the bundled model, trained to say whether an answer is right.",
        "",
        f"Made by `strop run tinyv`: {steps:,} steps, {minutes:.0f} minutes of training steps on one core.",
        "",
        f"On {problems} held-out pairs that a string match rejects, half of them right:",
        "",
        "| threshold | right answers accepted | wrong answers accepted |",
        "|---|---|---|",
        *(f"| {t} | {(said[label] >= t).mean():.3f} | {(said[~label] >= t).mean():.3f} |" for t in THRESHOLDS),
        "",
        "| class of form | pairs | judged rightly at 0.5 |",
        "|---|---|---|",
    ]
    for number, name in enumerate(("none: two answers at once, or nonsense", *CLASSES)):
        which = group == number
        lines.append(f"| {name} | {which.sum()} | {((said >= 0.5) == label)[which].mean():.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--problems", type=int, default=2000)
    args = parser.parse_args()
    opened = Run.open(args.run)
    shipped = ship(opened, BUNDLED)
    (shipped / "card.md").write_text(card(opened, args.problems))
    (shipped / "recipe.json").write_text(json.dumps(opened.recipe, indent=1) + "\n")
