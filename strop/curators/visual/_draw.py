"""Draws a picture of the grammar with Pillow, in one of three styles."""

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from strop.curators.visual import SIZE, Panel, Style
from strop.errors import TaskError

if TYPE_CHECKING:
    import numpy as np

MARGIN = 28
"""Width of the edge on which the dot moves, pixels."""
_COLUMNS, _ROWS = 4, 3
_RADII = (7.5, 10.5, 13.5, 16.5, 20.0)
_PALETTES: dict[Style, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "plain": (
        ("#ffffff", "#dcdcdc", "#b4b4b4"), ("#c81e1e", "#1e50c8", "#1e8c32", "#e6a000", "#7828a0", "#30343a"), "#000000"
    ),
    "dark": (
        ("#000000", "#2c2c38", "#505064"), ("#ff6464", "#64a0ff", "#64e678", "#ffd246", "#d278ff", "#f0f0f0"), "#ffffff"
    ),
    "outline": (
        ("#fbf3dc", "#e6d7b0", "#cdb98c"), ("#a02814", "#1e3c78", "#286428", "#c87800", "#643278", "#1e1e1e"), "#643214"
    ),
}  # fmt: skip
"""Backgrounds, colours and ink of each style."""


def picture(panel: Panel, style: Style) -> "np.ndarray":
    """The picture of a panel, RGB bytes `[SIZE, SIZE, 3]`."""
    import numpy as np

    draws, image = _pillow()
    count, shape, colour, fill, size, dot, ground = panel
    grounds, colours, ink = _PALETTES[style]
    canvas = image.new("RGB", (SIZE, SIZE), grounds[ground])
    pen = draws.Draw(canvas)
    pen.rectangle((0, 0, SIZE - 1, SIZE - 1), outline=ink, width=3 if style == "outline" else 1)
    inner = SIZE - 2 * MARGIN
    for x, y in _places(count + 1):
        centre = MARGIN + inner * x, MARGIN + inner * y
        _shape(pen, centre, _RADII[size], shape, colours[colour], fill, grounds[ground])
    x, y = _EDGE[dot]
    half = MARGIN / 2
    middle = half + x * (SIZE / 2 - half), half + y * (SIZE / 2 - half)
    _round(pen, middle, 11.0, ink, ink)
    return np.asarray(canvas)


_EDGE = ((0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Columns and rows of the dot's places, clockwise; the even ones are corners."""


@cache
def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise TaskError(
            "Pictures are drawn with Pillow, which is not installed: pip install 'strop[vision]'."
        ) from None
    return ImageDraw, Image


@cache
def _places(count: int) -> list[tuple[float, float]]:
    """Where the shapes stand, as shares of the inner square: rows of at most four, each centred."""
    rows = min(_ROWS, math.ceil(count / _COLUMNS) if count > 3 else 1)
    widths = [count // rows + (row < count % rows) for row in range(rows)]
    return [
        ((place + 0.5) / width if width > 2 else 0.5 + (place - (width - 1) / 2) / 3, (row + 0.5) / rows)
        for row, width in enumerate(widths)
        for place in range(width)
    ]


def _shape(
    pen: Any, centre: tuple[float, float], radius: float, shape: int, colour: str, fill: int, ground: str
) -> None:
    outlines: list[str | None] = [ground if fill == 1 else colour]
    if fill == 2:
        outlines.append(None)
    for inside in outlines:
        if shape == 0:
            _round(pen, centre, radius, inside, colour)
        else:
            pen.polygon(_corners(centre, radius, shape), fill=inside, outline=colour, width=2)
        if inside == colour and fill == 2:
            # the right half is emptied, and the outline drawn again over it
            x, y = centre
            pen.rectangle((x, y - radius - 1, x + radius + 1, y + radius + 1), fill=ground)


def _round(pen: Any, centre: tuple[float, float], radius: float, inside: str | None, edge: str) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=inside, outline=edge, width=2)


def _corners(centre: tuple[float, float], radius: float, shape: int) -> list[tuple[float, float]]:
    """Corners of a triangle, square, pentagon, lozenge, star, cross or hourglass, by its number from 1."""
    x, y = centre
    if shape == 6:
        arm = radius / 3
        ways = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1), (-arm, arm),
                (-1, arm), (-1, -arm), (-arm, -arm)]  # fmt: skip
        return [(x + (radius * a if abs(a) == 1 else a), y + (radius * b if abs(b) == 1 else b)) for a, b in ways]
    if shape == 7:
        return [(x - radius, y - radius), (x + radius, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
    if shape == 4:
        return [(x, y - radius), (x + 0.7 * radius, y), (x, y + radius), (x - 0.7 * radius, y)]
    points, turn = {1: (3, -90), 2: (4, -45), 3: (5, -90), 5: (10, -90)}[shape]
    reach = [radius * (0.45 if shape == 5 and corner % 2 else 1.0) for corner in range(points)]
    angles = [math.radians(turn + 360 / points * corner) for corner in range(points)]
    return [(x + r * math.cos(angle), y + r * math.sin(angle)) for r, angle in zip(reach, angles, strict=True)]
