"""Writes what strop/planning says of 8, 64 and 512 GPUs into docs/scale.md, and draws its pictures.

    python tools/scale_pictures.py

Takes some minutes. Pictures are docs/figures/scale_*.svg, each for light and dark pages. The page changes between its
two marks only.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop import pages
from strop.cli.transfer_figures import Bar, bars, standalone
from strop.models.shapes import config_of
from strop.planning.divided import Divided, best, divide
from strop.planning.machines import machines
from strop.recipe import Recipe, override
from strop.recipes.grpo import grpo

TOP = Path(__file__).resolve().parents[1]
PAGE = TOP / "docs" / "scale.md"
FIGURES = TOP / "docs" / "figures"
BEGIN, END = "<!-- what the simulation says: tools/scale_pictures.py -->", "<!-- end -->"
MODELS = ("Qwen2.5-1.5B", "Qwen2.5-7B")
GPUS = (8, 64, 512)
STALENESS = (0, 1, 2, 4)
MEAN = 2048


def recipe(model: str, problems: int = 512, every: int = 0) -> Recipe:
    """What the page says it is for."""
    settings = {
        "model": model, "stages.0.problems": problems, "stages.0.samples": 16, "stages.0.episode.max_tokens": 8192,
        "gradient_checkpointing": "true", "heldout.every": every, "checkpoint_every": 0,
    }  # fmt: skip
    return override(grpo(), [f"{name}={value}" for name, value in settings.items()])


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    parts = []
    for model in MODELS:
        parts += of(model)
    parts += ["### What else it depends on", others()]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")


def of(model: str) -> list[str]:
    """The tables and the picture of one model."""
    made, config = recipe(model), config_of(model)
    found: dict[tuple[int, int], Divided] = {}
    turns: dict[int, Divided] = {}
    for count in GPUS:
        machine = machines(f"{count}xH200")
        turns[count] = divide(made, config, machine, count, 0, learners=count, mean=MEAN)
        for staleness in STALENESS:
            found[count, staleness] = best(made, config, machine, staleness, mean=MEAN)
            told(f"{model}, {count} GPUs, staleness {staleness}: {found[count, staleness].found.step:.1f} s a step")
    rows = [row(count, found[count, 1]) for count in GPUS]
    head = ("GPUs", "sample : learn", "a step", "sampling", "learning", "sync", "busy", "what bounds it")
    paces = [
        (
            str(count),
            f"{turns[count].found.step:.1f}",
            *(f"{found[count, k].found.step:.1f} ({found[count, k].found.samplers})" for k in STALENESS),
        )
        for count in GPUS
    ]
    series = ["all in turn", *(f"staleness {k}" for k in STALENESS)]
    clusters = [
        (f"{n} GPUs", [Bar(each.rate / n) for each in (turns[n], *(found[n, k] for k in STALENESS))]) for n in GPUS
    ]
    name = f"scale_{model.rpartition('-')[2].replace('.', '_')}"
    picture = bars(f"{model}: tokens written a second, by each GPU", "", series, clusters)
    (FIGURES / f"{name}.svg").write_text(standalone(picture), encoding="utf-8")
    return [
        f"### {model}",
        "At a staleness of 1, in the best division; seconds, and the share of them in which samplers and learner work:",
        pages.table(head, rows),
        "Seconds of a step by staleness, each in its best division (how many of them sample), beside a team of which\n"
        "each GPU samples and learns in turn (`--processes`):",
        pages.table(("GPUs", *series), paces),
        f"![{model}: tokens a second by GPU, staleness and number of GPUs](figures/{name}.svg)",
    ]


def row(count: int, each: Divided) -> tuple[str, ...]:
    found, seconds = each.found, each.found.seconds
    bound = found.bound
    if bound != "balance":
        bound = f"{bound} ({found.saved[bound]:.1f} s)"
    return (
        str(count), f"{found.samplers} : {each.learner.machine.count}", f"{found.step:.1f}",
        f"{seconds['sampling']:.1f}", f"{seconds['learning']:.1f}",
        f"{each.costs.sync_bytes / 2**30:.2f} GiB, {seconds['sync']:.2f}",
        f"{100 * found.busy['samplers']:.0f} %, {100 * found.busy['learner']:.0f} %", bound,
    )  # fmt: skip


def others() -> str:
    """One thing changed at a time."""
    model, config = "Qwen2.5-7B", config_of("Qwen2.5-7B")
    rows: list[tuple[str, ...]] = []

    def tell(said: str, gpus: int, made: Recipe, machine: Any = None, **how: Any) -> None:
        each = best(made, config, machine or machines(f"{gpus}xH200"), 1, mean=how.pop("mean", MEAN), **how)
        rows.append((str(gpus), said, *row(gpus, each)[1:5], *row(gpus, each)[-2:]))
        told(f"{said}, {gpus} GPUs: {each.found.step:.1f} s a step")

    for gpus in (64, 512):
        made, machine = recipe(model), machines(f"{gpus}xH200")
        tell("as above", gpus, made)
        tell("an evaluation every 10 steps", gpus, recipe(model, every=10))
        tell("all answers 2,048 tokens long", gpus, override(made, [f"stages.0.episode.max_tokens={MEAN}"]))
        tell("a tenth of the start of an operation", gpus, made, replace(machine, launch=machine.launch / 10))
        tell("a tenth of the network", gpus, made, replace(machine, network=machine.network / 10))
    tell("eight times the prompts", 512, recipe(model, problems=4096))
    head = ("GPUs", f"{model}, staleness 1", "sample : learn", "a step", "sampling", "learning", "busy", "bound")
    return pages.table(head, rows)


def told(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
