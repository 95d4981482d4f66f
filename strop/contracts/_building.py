"""The contract of builders: pieces of the room curators that make rows of a data set from other rows."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from strop.contracts._finding import ensure
from strop.keys import Key


def _rows(builder: Any) -> Sequence[Any]:
    """A few rows of the kind that the builder says it takes; none where this file knows no example of it."""
    from strop.curators.visual._by_grammar import exam
    from strop.curators.visual.image_synthesis import ImageSynthesis
    from strop.curators.visual.seed_abstraction import SeedAbstraction

    kind = inspect.signature(type(builder).__call__).parameters["rows"].annotation
    key = Key.root(0)
    rows: Sequence[Any] = exam(6, key)
    stages: dict[str, Any] = {"Sample": None, "Rule": SeedAbstraction(), "Drawing": ImageSynthesis()}
    for name, stage in stages.items():
        rows = stage(rows, key) if stage else rows
        if name in str(kind):
            return rows
    return []


def _marks(rows: Sequence[Any]) -> list[tuple[str, str]]:
    return [(row.id, row.dropped) for row in rows]


def takes_no_rows(builder: Any) -> None:
    ensure(list(builder([], Key.root(0))) == [], "no rows must give no rows")


def builds_the_same_twice(builder: Any) -> None:
    rows = _rows(builder)
    ensure(
        _marks(builder(rows, Key.root(0))) == _marks(builder(rows, Key.root(0))),
        "two calls with the same key built different rows",
    )


def gives_each_row_a_name(builder: Any) -> None:
    names = [name for name, _ in _marks(builder(_rows(builder), Key.root(0)))]
    ensure(len(set(names)) == len(names), f"ids stand twice: {sorted(n for n in names if names.count(n) > 1)[:3]}")


def uses_no_dropped_row(builder: Any) -> None:
    dropped = [dataclasses.replace(row, dropped="before") for row in _rows(builder)]
    kept = [name for name, reason in _marks(builder(dropped, Key.root(0))) if not reason]
    ensure(not kept, f"rows were built from dropped ones: {kept[:3]}")


BUILDERS = (takes_no_rows, builds_the_same_twice, gives_each_row_a_name, uses_no_dropped_row)
