"""Who may import whom: records <- rooms <- recipes <- flow <- studies <- cli, web."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from strop import catalogue

ROOT = catalogue.ROOT
ROOMS = [room for room in catalogue.ROOMS if room not in catalogue.FUNCTION_ROOMS]
HEAVY = ("transformers", "vllm", "ray")

LAYERS = {
    "records": (
        "records", "keys", "errors", "text", "plan_text", "piece", "catalogue", "rows", "sandbox", "statistics",
    ),
    "rooms": (*ROOMS, "models"),
    "recipes": ("recipe", "recipes"),
    "flow": (
        "flow", "ahead", "batching", "decoding", "engine", "evaluate", "interrupt", "lint", "measure", "planning",
        "progress", "rollouts", "scoring", "transfer", "backends", "store",
    ),
    "studies": ("evidence", "frontier", "study", "studies"),
    "cli": ("__main__", "cli", "serve", "web", "pages", "systems", "contracts"),
}  # fmt: skip
"""Each part of the package in its layer, lowest first; within a layer anything goes, except between rooms."""
RANK = {part: rank for rank, parts in enumerate(LAYERS.values()) for part in parts}
MAY_IMPORT = {("rewards", "verifiers")}
"""Rooms that may use another one's members."""

FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def imports(text: str) -> Iterator[str]:
    """Every dotted name a source imports, at any depth; of `from a import b` both `a` and `a.b`.

    What stands under `if TYPE_CHECKING` is left out: a type's name makes nobody depend on what it does.
    """
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def faults(path: Path, text: str) -> list[str]:
    """What a file imports and may not."""
    own = part_of(path)
    found = []
    for name in imports(text):
        top, _, rest = name.partition(".")
        if top in HEAVY and own not in ("backends", "models"):
            found.append(f"{name}: only backends and models import {top}")
        part, _, member = rest.partition(".")
        if top != "strop" or part not in RANK:
            continue
        if RANK[part] > RANK.get(own, len(LAYERS)):
            found.append(f"{name}: a higher layer")
        elif (
            part in ROOMS
            and own in ROOMS
            and part != own
            and (own, part) not in MAY_IMPORT
            and _is_member(part, member)
        ):
            found.append(f"{name}: another room's member; its contract in strop.{part} may be imported")
    return found


def _is_member(room: str, name: str) -> bool:
    """Whether `strop.room.name` is a file or folder, and not something the room's `__init__` states."""
    path = ROOT / room / name.replace(".", "/")
    return bool(name) and (path.with_suffix(".py").is_file() or path.is_dir())


def test_every_part_of_the_package_has_a_layer():
    parts = {part_of(path) for path in FILES}
    assert not parts - set(RANK), "Put new parts into LAYERS, and into docs/map.md where a reader should know them."


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stay_within_the_layers(path):
    assert not faults(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("rewards/x.py", "from strop.flow import run"),
        ("rewards/x.py", "def f():\n    from strop import flow"),
        ("rewards/x.py", "from strop.tasks.arithmetic import Arithmetic"),
        ("rewards/x.py", "from strop.tasks import arithmetic"),
        ("recipes/x.py", "import strop.cli.main"),
        ("flow.py", "from transformers import AutoModel"),
        ("records.py", "from strop.tasks import Task"),
    ],
)
def test_the_check_can_fail(place, text):
    assert faults(ROOT / place, text)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("curricula/x.py", "from strop.tasks import Task"),
        ("rewards/x.py", "from strop.verifiers.exact import Exact"),
        ("objectives/preference/x.py", "from strop.objectives._rows import spread"),
        ("backends/torch/x.py", "import transformers"),
        ("cli/x.py", "from strop import flow"),
        ("controllers/x.py", "if TYPE_CHECKING:\n    from strop.recipe import Stage"),
    ],
)
def test_what_is_allowed_passes(place, text):
    assert not faults(ROOT / place, text)
