"""Rows of a file or of a hosted data set, and what they say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from strop.errors import TaskError, did_you_mean
from strop.rows import Row, read_rows
from strop.tasks._mappings import FieldMapping
from strop.text import CLOSE, OPEN

_HELDOUT = ("heldout", "held-out", "test", "validation", "valid", "val", "dev", "eval", "true", "1")
"""What a field may say of a held-out row, in any case."""


class Item(NamedTuple):
    """One row, by what its fields are for."""

    question: str
    answer: Any
    solution: str
    level: int
    subject: str
    heldout: bool


def rows(data: str, subset: str, split: str) -> Iterator[tuple[str, Row]]:
    """Every row with its place; a `TaskError` where there are none."""
    path = Path(data).expanduser()
    source = read_rows(path, TaskError) if path.suffix or path.exists() else _hosted(data, subset, split)
    empty = True
    for row in source:
        empty = False
        yield row
    if empty:
        raise TaskError(f"{data} has no rows.")


def _hosted(name: str, subset: str, split: str) -> Iterator[tuple[str, Row]]:
    try:
        import datasets
    except ImportError:
        raise TaskError(
            f"There is no file {name}, and hosted data sets need an extra. Next: pip install 'strop[data]'"
        ) from None
    try:
        found = datasets.load_dataset(name, subset or None, split=split)
    except Exception as error:
        raise TaskError(f"The data set {name!r} (split {split!r}) cannot be loaded: {error}") from error
    for number, row in enumerate(found, start=1):
        yield f"{name}, row {number}", row  # type: ignore[misc]


def take(row: Row, name: str, where: str) -> Any:
    """The value of a field that has to be there."""
    if row.get(name) is None:
        hint = "is empty." if name in row else f"is missing. {did_you_mean(name, row)}"
        raise TaskError(f"{where}: the field {name!r} {hint}")
    return row[name]


def as_text(answer: Any) -> str:
    """
    >>> as_text(145.0), as_text("1/2")
    ('145', '1/2')
    """
    return str(int(answer)) if isinstance(answer, float) and answer.is_integer() else str(answer)


def read_item(where: str, row: Row, fields: FieldMapping, heldout_field: str) -> Item:
    """What a row says; a `TaskError` naming the row where something has to be there and is not."""
    questions = (fields.question,) if isinstance(fields.question, str) else fields.question
    question = " ".join(str(take(row, name, where)).strip() for name in questions)
    answer = take(row, fields.answer, where)
    if fields.pattern:
        found = re.findall(fields.pattern, str(answer))
        if not found:
            raise TaskError(f"{where}: `{fields.answer}` does not match the pattern {fields.pattern!r}.")
        answer = (found[-1] if isinstance(found[-1], str) else found[-1][0]).strip()
    solution = str(take(row, fields.solution, where)) if fields.solution else ""
    if fields.drop:
        solution = re.sub(fields.drop, "", solution)
    if OPEN in solution or CLOSE in solution:
        solution = ""
    level = re.search(r"\d{1,6}", str(row.get(fields.level, ""))) if fields.level else None
    heldout = bool(heldout_field) and str(take(row, heldout_field, where)).lower() in _HELDOUT
    subject = str(row.get(fields.subject) or "") if fields.subject else ""
    return Item(question, answer, solution.strip(), int(level[0]) if level else 0, subject, heldout)
