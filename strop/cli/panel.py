"""The live panel, drawn from `Readings`."""

import math
from typing import TYPE_CHECKING

from strop.cli.readings import PHASES, Readings, clock, short, spark

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

# a shade for each as well, for terminals and logs without colour
_COLOURS = {
    "generate": ("█", "cyan"),
    "verify": ("▓", "yellow"),
    "learn": ("▒", "magenta"),
    "other": ("░", "bright_black"),
}
_ROWS = (
    ("reward", "reward/mean", ".3f"),
    ("held-out accuracy", "accuracy/heldout", ".1%"),
)
_CELLS = (
    ("train accuracy", "accuracy/train", ".1%"),
    ("length", "length/mean", ".0f"),
    ("cut off", "length/truncated", ".0%"),
    ("loss", "loss", ".3g"),
    ("KL", "kl", ".2g"),
    ("entropy", "entropy", ".2f"),
)


def panel(readings: Readings, width: int) -> "RenderableType":
    """Progress, the curves that matter, the small numbers, and where the time goes; fits `width` columns."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    inner = max(24, min(width, 100) - 4)
    lines: list[Text] = [_steps(readings, inner)]
    for label, name, form in _ROWS:
        if name in readings.latest:
            lines.append(_curve(readings, label, name, form, inner))
    lines += _cells(readings, inner)
    if readings.split:
        lines += _time(readings.split, inner)
    title = Text(readings.recipe, style="bold", no_wrap=True)
    doing = f"{readings.phase} · " if readings.phase else ""
    return Panel(
        Group(*lines),
        title=title,
        title_align="left",
        subtitle=Text(f"{doing}{clock(readings.elapsed)}", style="dim"),
        subtitle_align="right",
        border_style="bright_black",
        width=inner + 4,
    )


def _steps(readings: Readings, width: int) -> "Text":
    from rich.text import Text

    left = readings.left
    rate = readings.latest.get("rate/tokens")
    parts = [f"{readings.at}/{readings.total}"]
    if rate is not None:
        parts.append(f"{short(rate)} tok/s")
    if left is not None and readings.at < readings.total:
        parts.append(f"{clock(left)} left")
    tail = "  " + "  ".join(parts)
    room = max(4, width - len(tail))
    full = round(room * min(1.0, readings.at / readings.total)) if readings.total else 0
    return Text.assemble(
        ("━" * full, "green"), ("━" * (room - full), "bright_black"), tail, overflow="crop", no_wrap=True
    )


def _curve(readings: Readings, label: str, name: str, form: str, width: int) -> "Text":
    from rich.text import Text

    value = f"{readings.latest[name]:{form}}"
    low, high = readings.latest.get(f"{name}_low"), readings.latest.get(f"{name}_high")
    if low is not None and high is not None:
        value += f" ({low:.0%} to {high:.0%})"
    label, value = f"{label:<18}", f"{value:<21}"
    room = max(0, width - len(label) - len(value))
    line = spark(readings.trails[name].points, room) if room >= 8 else ""
    return Text.assemble((label, "dim"), (value, "bold"), (line, "green"), overflow="crop", no_wrap=True)


def _cells(readings: Readings, width: int) -> "list[Text]":
    """The small numbers."""
    from rich.text import Text

    shown = [(label, f"{readings.latest[name]:{form}}") for label, name, form in _CELLS if name in readings.latest]
    return _flow([Text.assemble((label + " ", "dim"), value) for label, value in shown], width)


def _time(split: dict[str, float], width: int) -> "list[Text]":
    """A bar of the phases, and what its shades mean."""
    from rich.text import Text

    names = [name for name in (*PHASES, "other") if split[name] > 0]
    sizes = {name: math.floor(split[name] * width) for name in names}
    # what rounding down left over goes to the longest, so that the bar has its full length
    sizes[max(names, key=lambda name: split[name])] += width - sum(sizes.values())
    bar = Text.assemble(*((_COLOURS[name][0] * sizes[name], _COLOURS[name][1]) for name in names), no_wrap=True)
    legend = [Text.assemble((_COLOURS[name][0], _COLOURS[name][1]), f" {name} {split[name]:.0%}") for name in names]
    return [bar, *_flow(legend, width)]


def _flow(cells: "list[Text]", width: int) -> "list[Text]":
    """As many cells to a line as fit."""
    from rich.text import Text

    lines: list[Text] = []
    for cell in cells:
        if not lines or len(lines[-1]) + len(cell) + 3 > width:
            lines.append(Text(overflow="crop", no_wrap=True))
        else:
            lines[-1].append("   ")
        lines[-1].append_text(cell)
    return lines
