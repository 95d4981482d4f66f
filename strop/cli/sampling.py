"""What `strop sample` draws from which models."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop.errors import ConfigError
from strop.piece import build
from strop.rollouts import Draw, checkpoints, of_run, sample

SPLITS = ("heldout", "train")


def sampled(
    models: Sequence[str],
    samples: int,
    episode: Mapping[str, Any],
    *,
    problems: int | None,
    last: int | None,
    task: str | None,
    data: str | None,
    split: str,
    seed: int,
    out: Path | None,
) -> tuple[Path, list[str]]:
    """The rollouts file and the checkpoints in it. `episode` holds what the user changes in how attempts are drawn."""
    from strop.store.run import Run

    if split not in SPLITS:
        raise ConfigError(f"--split must be {' or '.join(SPLITS)}, got {split!r}.")
    runs = [Run.open(name) for name in models if (Path(name) / "recipe.json").is_file()]
    if len(models) == 1 and runs:
        draw, found = of_run(runs[0], samples, problems=problems), checkpoints(runs[0], last)
        where = runs[0].path / f"checkpoints-{samples}{_suffix(episode)}{'' if split == 'heldout' else '-train'}.jsonl"
    elif last is not None:
        raise ConfigError("--checkpoints is for a single run folder: leave it out, or give one run.")
    else:
        draw, found, where = _plain(samples, problems), _models(models, runs), Path("samples.jsonl")
    if task is not None or data is not None:
        draw = replace(draw, task=_task(task or "", data))
    changed = {name: getattr(draw.episode, name) for name in _fields(draw.episode)} | dict(episode)
    draw = replace(draw, episode=build(type(draw.episode), changed, "sample"), split=split, seed=seed)
    return sample(found, draw, out or where, lambda text: print(text, file=sys.stderr)), list(found)


def _models(names: Sequence[str], runs: Sequence[Any]) -> dict[str, str]:
    """Models by their own names; of a run among them the last checkpoint."""
    folders = {str(run.path): str(run.checkpoint("last")) for run in runs}
    found = {name: folders.get(str(Path(name)), name) for name in names}
    if len(found) < len(names):
        raise ConfigError(f"The same model is given twice: {' '.join(names)}.")
    return found


def _plain(samples: int, problems: int | None) -> Draw:
    from strop.episodes.single_turn import SingleTurn

    return Draw(task=_task("arithmetic", None), episode=SingleTurn(), samples=samples, problems=problems or 512)


def _task(name: str, data: str | None) -> Any:
    from strop.recipe import task_named

    return task_named(name, data)


def _fields(episode: Any) -> list[str]:
    from strop.piece import fields

    return list(fields(type(episode)))


def _suffix(episode: Mapping[str, Any]) -> str:
    """What was changed, in the name of the file: other settings are other rollouts."""
    return "".join(f"-{name}-{value}" for name, value in sorted(episode.items()))
