"""The published systems strop sets out to carry, and how far each has come.

The rows are `docs/systems.toml`; a level is never written down, it is computed from what exists:

    0  absent
    1  its pieces exist, each with a test of its own
    2  its recipe exists, with a recorded trajectory (`tests/golden/NAME.json`), or its study, with a test
    3  its claim has been measured: `evidence/NAME.json` carries a verdict
    4  it has run on the real path: `evidence/real/NAME.json` says the command and the hardware

Each level needs the ones below it. A checkout is read in place. An installed package carries the rows, the recorded
trajectories and the evidence as package data, but no tests: there a piece that exists counts as tested, because
`tests/test_catalogue.py` lets no piece into a package without its test.
"""

import ast
import functools
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop import catalogue
from strop.errors import ConfigError
from strop.evidence import VERDICTS

LEVELS = ("absent", "pieces tested", "recipe runs", "claim measured", "real path run")
"""What each level means, in two words."""

PACKAGE_ROOM = {
    "task": "tasks", "curriculum": "curricula", "episode": "episodes", "verifier": "verifiers", "reward": "rewards",
    "advantage": "advantages", "objective": "objectives", "controller": "controllers", "curator": "curators",
    "decoder": "decoders", "probe": "probes", "recipe": "recipes", "model": "models", "engine": "backends",
    "docs": "docs", "far": "far",
}  # fmt: skip
"""The folder for each word of a row's `room`; `docs` and `far` (another field of research) have none."""

# regular expressions, because parsing every test file would cost `strop ls` more than everything else together
_IMPORT = re.compile(r"^\s*from (strop\.[\w.]+) import (\([^)]*\)|[^\n]+)", re.MULTILINE)
_QUOTED = re.compile(r"""["']([a-z_]+(?:/[a-z0-9_]+)+)["']""")


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows, tests, recorded trajectories and evidence lie: in a checkout, or as package data."""

    rows: Path
    tests: Path | None
    golden: Path
    evidence: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One row of `docs/systems.toml`, as it stands there."""

    name: str
    title: str
    source: str
    family: str
    room: str
    """`reward+probe`: the main room first."""
    recipe: str = ""
    pieces: tuple[str, ...] = ()
    baseline: str = ""

    @property
    def rooms(self) -> tuple[str, ...]:
        """The folders of the package it touches.

        >>> System(name="a", title="A", source="", family="rl", room="reward+probe").rooms
        ('rewards', 'probes')
        """
        return tuple(PACKAGE_ROOM[word] for word in self.room.split("+"))


def places(root: Path = catalogue.ROOT) -> Places:
    """The checkout around the package where there is one, else the data inside it."""
    if (root.parent / "docs" / "systems.toml").is_file():
        top = root.parent
        return Places(top / "docs" / "systems.toml", top / "tests", top / "tests" / "golden", top / "evidence")
    assets = root / "assets"
    return Places(assets / "systems.toml", None, assets / "golden", assets / "evidence")


@functools.cache
def load() -> tuple[System, ...]:
    """All rows, in the order of the table."""
    path = places().rows
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["system"]
        return tuple(System(**row | {"pieces": tuple(row.get("pieces", ()))}) for row in rows)
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Reinstall strop, or restore the file.") from error


def find(name: str) -> System | None:
    """The row called `name`, or None."""
    return next((system for system in load() if system.name == name), None)


def level(system: System) -> int:
    """How far it has come, 0 to 4: the number of rungs of `ladder` met without a gap.

    >>> nowhere = System(name="no_such_system", title="", source="", family="rl", room="reward")
    >>> level(nowhere), LEVELS[level(nowhere)]
    (0, 'absent')
    """
    met = [done for done, _ in ladder(system)]
    return met.index(False) if False in met else len(met)


def ladder(system: System) -> list[tuple[bool, str]]:
    """Levels 1 to 4 in order: whether each is met, and what was looked for."""
    name = system.recipe or system.name
    at = places()
    recipe = recipe_file(name)
    addresses = system.pieces or all_pieces(name)
    missing = [a for a in addresses if not (catalogue.ROOT / f"{a}.py").is_file()]
    untested = [a for a in addresses if a not in missing and at.tests is not None and not find_tests(a)]
    if not addresses:
        pieces = f"no recipe {name} and no pieces named"
    elif missing or untested:
        pieces = "; ".join(f"{a}: {'no test' if a in untested else 'absent'}" for a in (*missing, *untested))
    else:
        pieces = ", ".join(addresses)
    golden = at.golden / f"{name}.json"
    # a study runs recipes that have trajectories of their own; what is its own is tested
    study = (
        recipe is not None and recipe.parent.name == "studies" and (not at.tests or bool(find_tests(f"studies/{name}")))
    )
    verdict = evidence(name).get("verdict", "")
    real = evidence(f"real/{name}")
    return [
        (bool(addresses) and not missing and not untested, pieces),
        (
            recipe is not None and (golden.is_file() or study),
            f"study {name}" if study else f"recipe {name} with {_short(golden)}",
        ),
        (verdict in VERDICTS, verdict or f"evidence/{name}.json"),
        (bool(real.get("command") and real.get("hardware")), str(real.get("hardware") or f"evidence/real/{name}.json")),
    ]


def evidence(name: str) -> dict[str, Any]:
    """What was measured of a recipe against its baseline; empty where nothing was."""
    path = places().evidence / f"{name}.json"
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}. Restore it, or measure {name} again.") from error
    return data if isinstance(data, dict) else {}


def recipe_file(name: str) -> Path | None:
    """The file of a recipe or study, where there is one."""
    files = (catalogue.ROOT / room / f"{name}.py" for room in catalogue.FUNCTION_ROOMS)
    return next((file for file in files if file.is_file()), None)


def uses(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses of the pieces a recipe file imports, and names of the recipes it builds on; imports nothing."""
    pieces: dict[str, None] = {}
    recipes: dict[str, None] = {}
    for module in imported(path):
        room, _, rest = module.removeprefix("strop.").partition(".")
        file = catalogue.ROOT / (module.removeprefix("strop.").replace(".", "/") + ".py")
        if not rest or file == path or not file.is_file() or file.stem.startswith("_"):
            continue
        if room in catalogue.FUNCTION_ROOMS:
            recipes[file.stem] = None
        elif room in catalogue.ROOMS:
            pieces[file.relative_to(catalogue.ROOT).with_suffix("").as_posix()] = None
    return tuple(pieces), tuple(recipes)


def all_pieces(name: str) -> tuple[str, ...]:
    """Addresses of the pieces of a recipe and of the recipes it builds on."""
    found: dict[str, None] = {}
    waiting, seen = [name], set()
    while waiting:
        each = waiting.pop(0)
        path = recipe_file(each)
        if each in seen or path is None:
            continue
        seen.add(each)
        pieces, recipes = uses(path)
        found |= dict.fromkeys(pieces)
        waiting += recipes
    return tuple(found)


def imported(path: Path) -> Iterator[str]:
    """Dotted names of the strop modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("strop."))
        elif isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith("strop."):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_tests(address: str) -> list[Path]:
    """Test files of a member: named for it below its room's folder, or naming it: `from strop.rewards.short import
    Short`, `load("rewards/short")`. Empty in an installed package.
    """
    room, name = address.split("/")[0], address.rsplit("/", 1)[-1]
    module = "strop." + address.replace("/", ".")
    return [
        path
        for path, modules in _tests()
        if module in modules or (path.stem == f"test_{name}" and path.parent.name in (room, "tests"))
    ]


@functools.cache
def _tests() -> tuple[tuple[Path, frozenset[str]], ...]:
    folder = places().tests
    if folder is None or not folder.is_dir():
        return ()
    paths = sorted(folder.rglob("test_*.py"))
    return tuple((path, frozenset(_modules(path.read_text(encoding="utf-8")))) for path in paths)


def _modules(text: str) -> Iterator[str]:
    for module, names in _IMPORT.findall(text):
        yield module
        yield from (f"{module}.{name}" for name in re.findall(r"\w+", names))
    yield from ("strop." + address.replace("/", ".") for address in _QUOTED.findall(text))


def _short(path: Path) -> str:
    return "/".join(path.parts[-3:])
