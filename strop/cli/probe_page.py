"""The page of a probe that draws one: a single file that needs no network."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.store.files import write_file

if TYPE_CHECKING:
    from strop.records import Group

_TEMPLATES = Path(__file__).parent.parent / "web" / "templates"


def write_page(
    probe: Any, groups: "Sequence[Group]", numbers: Mapping[str, Any], file: Path, out: Path | None = None
) -> Path:
    """Write the page of `numbers` and of the probe's grid: in a run's folder, or beside a file."""
    import jinja2

    stem = probe.page.partition(".")[0]
    page = out or (file / f"{stem}.html" if file.is_dir() else file.with_name(f"{file.stem}.{stem}.html"))
    grid = probe.grid(groups)
    # percent without decimals: a cell is a colour, and thousands of them are many bytes
    cells = [[None if math.isnan(share) else round(100 * share) for share in row] for row in grid.right.tolist()]
    context = {
        "title": file.name,
        "numbers": numbers,
        "data": {"checkpoints": grid.checkpoints, "problems": grid.problems, "cells": cells},
    }
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    write_file(page, templates.get_template(probe.page).render(context).encode("utf-8", "replace"))
    return page
