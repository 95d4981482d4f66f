"""`strop merge`: one ordinary model folder out of a run or an adapter."""

from pathlib import Path
from typing import Annotated, Any

import typer

from strop.errors import ConfigError


def merge(
    model: Annotated[str, typer.Argument(help="A run folder, an adapter's folder, or a model.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
    checkpoint: Annotated[str, typer.Option(help="Which checkpoint of a run: a step, or last.")] = "last",
    precision: Annotated[str, typer.Option(help="stored (as the base's files have it), bf16 or fp32.")] = "stored",
) -> None:
    """Write a run's model as one folder that any tool loads, with its adapter merged into the weights."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already, expected a new folder. Next: --out {out}-merged")
    if precision not in ("stored", "bf16", "fp32"):
        raise ConfigError(f"precision must be one of stored, bf16, fp32, got {precision!r}.")
    from strop.models import language_model
    from strop.store.run import Run

    held: Any = precision
    if (Path(model) / "recipe.json").is_file() and not (Path(model) / "config.json").is_file():
        loaded = Run.open(model).model(checkpoint, held)
    elif checkpoint != "last":
        raise ConfigError(f"{model} is no run folder: it has no checkpoints to choose from.")
    else:
        loaded = language_model.load(model, held)
    language_model.save(loaded, out)
    print(f"{out}: {loaded.net.num_parameters() / 1e6:.1f} M weights in {str(loaded.net.dtype).removeprefix('torch.')}")
