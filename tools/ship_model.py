"""Put a pre-trained model into the package: bf16 weights, tokenizer, and a card with its accuracy by task and style.

strop run pretrain_nano --out runs/pretrain_nano
python tools/ship_model.py runs/pretrain_nano nano
"""

import argparse
import json
import shutil
from pathlib import Path

from strop.evaluate import evaluate_model
from strop.models import language_model
from strop.recipes.pretrain_nano import WEIGHTS
from strop.store.run import Run
from strop.store.summary import summary
from strop.tasks import STYLES

ASSETS = Path(__file__).parents[1] / "strop" / "assets"
LIMIT_MB = 8


def ship(run: Run, name: str) -> Path:
    """Write `strop/assets/<name>`, bf16."""
    import torch

    folder = ASSETS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = run.model()
    for weight in model.net.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    model.net.config.dtype = torch.bfloat16
    language_model.save(model, folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    if size > LIMIT_MB:
        raise SystemExit(f"{folder} is {size:.1f} MB, the limit is {LIMIT_MB} MB.")
    return folder


def card(run: Run, name: str, problems: int) -> str:
    """The model's page: how it was made and what it can do, as measured now."""
    model = language_model.load(name)
    parameters = sum(weight.numel() for weight in model.net.parameters())
    numbers = summary(run)
    steps = run.recipe["stages"][0]["steps"]
    tokens = sum(row.get("tokens/written") or 0 for row in run.metrics.to_pylist())
    lines = [
        f"`{name}`: {parameters / 1e6:.2f} M parameters, {model.tokenizer.vocab_size} tokenizer entries, "
        f"context {model.context}.",
        "",
        f"Made by `strop run pretrain_nano --size {name}`: {steps:,} steps, {tokens / 1e6:.1f} M response tokens, "
        f"{numbers['seconds'] / 60:.0f} minutes of training steps.",
        "",
        f"Share of right answers on {problems} held-out problems of each task at its default difficulties. The first "
        "column leaves the style to the model, at temperature 1: where a run starts. The others ask for a style and "
        "take the most likely token.",
        "",
        "| task | as it comes | " + " | ".join(STYLES) + " |",
        "|---|---|" + "---|" * len(STYLES),
    ]
    for task in WEIGHTS:
        found = [evaluate_model(name, task, problems=problems, max_tokens=224)[0]]
        found += [
            evaluate_model(name, task, problems=problems, max_tokens=224, style=style, temperature=0.0)[0]
            for style in STYLES
        ]
        lines.append(f"| {task} | " + " | ".join(f"{result['accuracy']:.2f}" for result in found) + " |")
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=("micro", "nano", "mini"))
    parser.add_argument("--problems", type=int, default=256)
    args = parser.parse_args()
    opened = Run.open(args.run)
    shipped = ship(opened, args.name)
    (shipped / "card.md").write_text(card(opened, args.name, args.problems))
    (shipped / "recipe.json").write_text(json.dumps(opened.recipe, indent=1) + "\n")
