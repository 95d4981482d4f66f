"""A run that another study has finished is not trained twice: baselines, above all.

Looked for among the studies that lie beside this one, and taken where recipe, seed, sources, versions and processor are
the same. Its files are linked, not copied: a study stays whole when the other one is removed.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from strop.errors import StropError
from strop.piece import dump
from strop.recipe import Recipe, from_data
from strop.store.source import exact, source
from strop.study.match import differs
from strop.study.worker import trained

_TOLD = ("started", "command", "pid", "resumed", "after step")
"""What commit.txt says of a process, and no number depends on."""


def reuse(recipe: Recipe, run: Path, folder: Path) -> Path | None:
    """Link a finished run of `recipe` from a neighbour of the study `folder` to `run`; which one, or None."""
    here, study = source(), folder.resolve()
    # what a file held when it was read, nobody wrote down
    if (
        run.exists()
        or not exact(here["commit"])
        or any(Path(text.split(":")[0]).exists() for text in _texts(dump(recipe)))
    ):
        return None
    for file in sorted(study.parent.glob(f"*/*/{run.name}/recipe.json")):
        if file.is_relative_to(study) or not _same(file.parent, recipe, here):
            continue
        half = run.with_name(f".{run.name}.{os.getpid()}")
        try:
            shutil.copytree(file.parent, half, copy_function=_link)
            half.rename(run)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return file.parent
    return None


def _same(run: Path, recipe: Recipe, here: Mapping[str, str]) -> bool:
    try:
        other = from_data(json.loads((run / "recipe.json").read_text(encoding="utf-8")))
        made = (run / "commit.txt").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError, StropError):
        return False
    if differs(other, recipe) or not trained(run, other):
        return False
    # a run that was resumed tells of each of its processes
    facts = (line.partition(": ") for line in made.splitlines() if line)
    return all(here.get(name) == value for name, _, value in facts if name not in _TOLD)


def _texts(data: object) -> Iterator[str]:
    if isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
    elif isinstance(data, str) and data:
        yield data


def _link(old: str, new: str) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
