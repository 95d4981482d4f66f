"""`strop eval --decoder`: decoders by name, and their results as a table."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from strop import catalogue
from strop.errors import ConfigError, did_you_mean
from strop.piece import build, fields


def decoders(names: str, settings: Sequence[str]) -> dict[str, Any]:
    """The decoders of a list with commas, each by its name or `PATH.py:NAME`, changed by `NAME.FIELD=VALUE`.

    >>> decoders("first_finish", ["first_finish.k=2"])
    {'first_finish': FirstFinish(k=2)}
    """
    wanted = [name.strip().replace("-", "_") if ".py" not in name else name.strip() for name in names.split(",")]
    classes = {_label(name): catalogue.load(name, None if ".py" in name else "decoders") for name in wanted}
    if len(classes) < len(wanted):
        raise ConfigError(f"--decoder names one twice: {names}.")
    values: dict[str, dict[str, Any]] = {label: {} for label in classes}
    for setting in settings:
        path, found, text = setting.partition("=")
        label, dot, field = path.strip().partition(".")
        if not found or not dot:
            raise ConfigError(f"Expected --set DECODER.FIELD=VALUE, such as first_finish.k=2; got {setting!r}.")
        if label not in classes:
            raise ConfigError(f"--set {setting}: there is no decoder {label!r} here. {did_you_mean(label, classes)}")
        values[label][field] = _value(classes[label], field, text)
    return {label: build(cls, values[label], label) for label, cls in classes.items()}


def _label(name: str) -> str:
    return name.rpartition(":")[2] if ".py:" in name else Path(name).stem if ".py" in name else name


def _value(cls: type, field: str, text: str) -> Any:
    # a field that takes any piece takes it by its address
    if field in fields(cls) and fields(cls)[field].type is Any and text not in ("null", "None"):
        return catalogue.load(text)()
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value


def budgets(text: str) -> list[int]:
    """Numbers of attempts with commas between them.

    >>> budgets("4,16")
    [4, 16]
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,6}", part) and int(part) for part in parts):
        raise ConfigError(
            f"--budget takes numbers of attempts from 1 with commas between them, such as 4,16; got {text}."
        )
    return sorted({int(part) for part in parts})


def report(result: Mapping[str, Any]) -> None:
    """A table for each task."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for task in result["tasks"]:
        title = f"{result['model']} on {task['task']}, {task['n']} problems"
        # narrow enough for a terminal of 80 columns
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("decoder", "budget", "right, 95 %", "tokens", "passes", "longest"):
            table.add_column(column, justify="left" if column == "decoder" else "right", no_wrap=True)
        for row in task["rows"]:
            low, high = row["accuracy_ci"]
            right = f"{row['accuracy']:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
            costs = (f"{row[name]:.1f}" for name in ("tokens", "passes", "longest"))
            table.add_row(row["decoder"], str(row["budget"]), escape(right), *costs)
        Console().print(table)
        if task["length_correctness"] is not None:
            print(f"correlation of length and correctness of plain attempts: {task['length_correctness']:+.2f}")
