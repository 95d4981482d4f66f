"""`strop ls`, `strop show`, `strop new`, `strop check`: what there is, and how to add to it.

Everything here reads source and imports no member, except `check`, which must run what it checks.
"""

import dataclasses
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop import catalogue
from strop.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from strop.systems import System

JSON = Annotated[bool, typer.Option("--json", help="Print JSON on the last line of the output.")]


def ls(
    room: Annotated[str, typer.Argument(help="A room, such as objectives; all rooms where left out.")] = "",
    systems: Annotated[bool, typer.Option("--systems", help="List the published systems with their levels.")] = False,
    as_json: JSON = False,
) -> None:
    """List the rooms, the members of a room, or the published systems."""
    if systems:
        _ls_systems(room, as_json)
        return
    rooms = [_room(room)] if room else list(catalogue.ROOMS)
    entries = [entry for each in rooms for entry in catalogue.room(each)]
    if as_json:
        print(
            json.dumps([{"room": e.room, "name": e.name, "address": e.address, "summary": e.summary} for e in entries])
        )
    elif room:
        _print_table(
            ("name", "what it is"), [(_local(e), _sentence(e.summary)) for e in entries], f"{rooms[0]}: no members yet"
        )
        print("Show one: strop show NAME. Add one: strop new " + f"{rooms[0]} NAME.")
    else:
        rows = [(each, " ".join(e.name for e in entries if e.room == each)) for each in rooms]
        _print_table(("room", "members"), rows, "no rooms")
        print("One room: strop ls ROOM. Published systems: strop ls --systems.")


def show(
    name: Annotated[str, typer.Argument(help="A recipe, piece, study or system; ROOM/NAME where a name stands twice.")],
    as_json: JSON = False,
) -> None:
    """Print a recipe, its pieces, equations, tests and evidence on one page; for a system its row and its level too."""
    from strop import pages
    from strop import systems as table

    system = table.find(name)
    entry = _entry(name, system)
    page = pages.describe(entry) if entry else None
    if as_json:
        row = None if system is None else _row(system) | {"rooms": system.rooms}
        print(json.dumps({"name": name, "system": row, "page": page.to_data() if page else None}, ensure_ascii=False))
        return
    parts = []
    if system is not None:
        parts.append(pages.system_markdown(system))
        if page is None:
            named = (address for address in system.pieces if (catalogue.ROOT / f"{address}.py").is_file())
            parts += [pages.to_markdown(pages.describe(catalogue.find(address)), 2) for address in named]
    if page is not None:
        parts.append(pages.to_markdown(page))
    _print_markdown("\n\n".join(parts))


def new(
    room: Annotated[str, typer.Argument(help="The room it belongs to, such as rewards.")],
    name: Annotated[
        str, typer.Argument(help="Its name in snake_case; in objectives with the folder: preference/my_loss.")
    ],
    recipe: Annotated[bool, typer.Option("--recipe", help="Write a recipe that uses it, too.")] = False,
    user: Annotated[
        bool, typer.Option("--user", help="Write ./NAME.py in this folder instead of the package.")
    ] = False,
) -> None:
    """Write a new member that already runs: its file, its test and, where asked, a recipe. Overwrites nothing."""
    from strop.cli import scaffold

    made = scaffold.plan(_room(room), name, recipe=recipe, user=user)
    for path, text in made.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    print("Next:")
    for command in made.commands:
        print(f"  {command}")


def check(
    spec: Annotated[str, typer.Argument(help="A piece by name or address, or a class of your own: ./mine.py:Mine.")],
    room: Annotated[
        str, typer.Option("--room", help="The room whose contract it should keep, where it is not clear.")
    ] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", help="A field of the piece: name=value.")] = None,
    as_json: JSON = False,
) -> None:
    """Run the contract of its room against a piece; ends with 1 where a check fails."""
    from strop import contracts

    cls = catalogue.load(spec)
    if not getattr(cls, "__is_piece__", False):
        raise ConfigError(f"{spec} is not a piece: decorate its class with @strop.piece.piece.")
    own = None if ".py" in spec else catalogue.find(spec).room
    wanted = room if room in contracts.CONTRACTS else _room(room) if room else own
    findings = contracts.check(_build(cls, spec, settings or []), wanted)
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            said = f": {finding.message}" if finding.message else ""
            print(f"{'ok  ' if finding.passed else 'FAIL'} {finding.name}{said}")
        failed = sum(not finding.passed for finding in findings)
        print(f"{spec}: {len(findings) - failed} of {len(findings)} checks passed")
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)


def _ls_systems(room: str, as_json: bool) -> None:
    from strop import systems

    word = {folder: word for word, folder in systems.PACKAGE_ROOM.items()}
    if room and room not in word and room not in systems.PACKAGE_ROOM:
        raise ConfigError(f"No system has a room {room!r}. {did_you_mean(room, word)}")
    wanted = word.get(room, room)
    rows = [_row(system) for system in systems.load() if not wanted or wanted in system.room.split("+")]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    head = ("level", "name", "family", "room", "source", "title")
    cells = [(str(r["level"]), r["name"], r["family"], r["room"], r["source"].split(";")[0], r["title"]) for r in rows]
    _print_table(head, cells, f"No systems in {room}.")
    counts = [sum(r["level"] == level for r in rows) for level in range(len(systems.LEVELS))]
    print(
        f"{len(rows)} systems; "
        + ", ".join(f"{n} at {i} ({systems.LEVELS[i]})" for i, n in enumerate(counts) if n)
        + "."
    )


def _row(system: "System") -> dict[str, Any]:
    from strop import systems

    row = {name: getattr(system, name) for name in ("name", "title", "source", "family", "room")}
    return row | {"level": systems.level(system)}


def _room(word: str) -> str:
    """A room by its folder (`rewards`) or by what one member is called (`reward`)."""
    from strop.systems import PACKAGE_ROOM

    name = PACKAGE_ROOM.get(word, "studies" if word == "study" else word)
    if name not in catalogue.ROOMS:
        raise ConfigError(f"There is no room {word!r}. {did_you_mean(word, catalogue.ROOMS)}")
    return name


def _entry(name: str, system: "System | None") -> catalogue.Entry | None:
    """The member called `name`, a recipe before a piece; None for a system that has no member of its name yet."""
    from strop import systems

    if name.endswith(".py") or ".py:" in name:
        raise ConfigError(f"{name} is not a member of the package. Check it instead: strop check {name}.")
    wanted = system.recipe if system and system.recipe else name
    for room in catalogue.FUNCTION_ROOMS:
        hit = next((entry for entry in catalogue.room(room) if entry.name == wanted), None)
        if hit:
            return hit
    try:
        return catalogue.find(name)
    except ConfigError:
        if system is not None:
            return None
        known = {e.name for each in catalogue.ROOMS for e in catalogue.room(each)}
        hits = [e.address for each in catalogue.ROOMS for e in catalogue.room(each) if name in (e.name, e.symbol)]
        if hits:
            raise
        raise ConfigError(
            f"Unknown name {name!r}. {_nearest(name, known | {s.name for s in systems.load()})}"
        ) from None


def _nearest(name: str, known: set[str]) -> str:
    """`did_you_mean` without its list: a few hundred names would hide the hint."""
    hint = did_you_mean(name, known).split("Known: ")[0]
    return f"{hint}All of them: strop ls, strop ls --systems."


def _build(cls: type, spec: str, settings: list[str]) -> Any:
    from strop.piece import build, fields

    values: dict[str, Any] = {}
    for setting in settings:
        name, found, text = setting.partition("=")
        if not found:
            raise ConfigError(f"Expected name=value after --set, got {setting!r}.")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    missing = dataclasses.MISSING
    needed = [
        n for n, f in fields(cls).items() if f.default is missing and f.default_factory is missing and n not in values
    ]
    if needed:
        options = " ".join(f"--set {name}=VALUE" for name in needed)
        raise ConfigError(
            f"{spec} has fields without a default: {', '.join(needed)}. Try: strop check {spec} {options}"
        )
    return build(cls, values, spec)


def _local(entry: catalogue.Entry) -> str:
    return f"{entry.group}/{entry.name}" if entry.group else entry.name


def _sentence(text: str) -> str:
    """The first sentence; a full stop inside a code span ends none.

    >>> _sentence("Mean of r. More."), _sentence("Turn `7. 8` round. More."), _sentence("No end")
    ('Mean of r.', 'Turn `7. 8` round.', 'No end')
    """
    found = re.match(r"(?:`[^`]*`|[^`])*?\.(?=\s|$)", text)
    return found[0] if found else text


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]], empty: str) -> None:
    """Columns as wide as their content; the last one is cut at the edge of a terminal and whole in a pipe."""
    if not rows:
        print(empty)
        return
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for row in (head, *rows):
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        print(line if len(line) <= edge else line[: edge - 1] + "…")


def _print_markdown(text: str) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
