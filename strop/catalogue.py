"""The folder is the registry: this module walks the rooms and imports a member when somebody uses it.

A member is a public `.py` file of a room; it defines one public class or function whose name is the file's name
in CamelCase (a piece) or as it is (a recipe or study). Listing reads the source and imports nothing.
"""

import ast
import functools
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import ConfigError, did_you_mean

ROOT = Path(__file__).parent
ROOMS = (
    "tasks", "curricula", "episodes", "verifiers", "rewards", "advantages", "objectives", "controllers",
    "curators", "decoders", "probes", "recipes", "studies",
)  # fmt: skip
"""The rooms, in the order data flows through them."""
_SINGULAR = {"curricula": "curriculum"}
FUNCTION_ROOMS = ("recipes", "studies")
"""Rooms whose members are functions, not pieces."""


@dataclass(frozen=True)
class Entry:
    """One member of a room. What its docstring and fields say is read from its source when somebody asks."""

    room: str
    name: str
    """File stem; the id on the command line."""
    path: Path
    symbol: str
    """The class or function the file is named for."""

    @property
    def summary(self) -> str:
        """First sentence of its docstring."""
        return " ".join(self.docstring.split("\n\n")[0].split())

    @functools.cached_property
    def docstring(self) -> str:
        return ast.get_docstring(self._node) or ""

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of its hyper-parameters (pieces) or arguments (recipes, studies)."""
        node = self._node
        if isinstance(node, ast.FunctionDef):
            return tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
        return tuple(
            statement.target.id
            for statement in node.body
            if isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and not ast.unparse(statement.annotation).startswith("ClassVar")
        )

    @functools.cached_property
    def _node(self) -> ast.ClassDef | ast.FunctionDef:
        nodes = ast.parse(self.path.read_text(encoding="utf-8")).body
        named = (n for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == self.symbol)
        return next(named)

    @property
    def address(self) -> str:
        """`objectives/policy_gradient/clip_higher`."""
        return self.path.relative_to(ROOT).with_suffix("").as_posix()

    @property
    def group(self) -> str:
        """The sub-folder within the room, or empty."""
        return "/".join(self.path.relative_to(ROOT).parts[1:-1])

    @property
    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())

    def load(self) -> Any:
        """Import the file and return the class or function."""
        module = importlib.import_module("strop." + self.address.replace("/", "."))
        return getattr(module, self.symbol)


def room(name: str) -> list[Entry]:
    """The members of a room, by name."""
    if name not in ROOMS:
        raise ConfigError(f"There is no room {name!r}. {did_you_mean(name, ROOMS)}")
    return list(_walk(name))


def find(name: str, within: str | None = None) -> Entry:
    """The member called `name`: a bare name, `room/name`, or a full address.

    Raises `ConfigError` with the nearest name where there is none, or the candidates where there are several.
    """
    rooms = (within,) if within else ROOMS
    entries = [entry for each in rooms for entry in room(each)]
    hits = [e for e in entries if name in (e.name, e.address, f"{e.room}/{e.name}", e.symbol)]
    if len(hits) == 1:
        return hits[0]
    what = _SINGULAR.get(within, within.removesuffix("s")) if within else "name"
    if hits:
        raise ConfigError(
            f"{name!r} is in several rooms: {', '.join(e.address for e in hits)}. Give the whole address."
        )
    raise ConfigError(f"Unknown {what} {name!r}. {did_you_mean(name, {e.name for e in entries})}")


def load(name: str, within: str | None = None) -> Any:
    """The class or function called `name`, or `PATH.py:NAME` from a user's own file."""
    if ".py:" in name or name.endswith(".py"):
        return load_file(name)
    return find(name, within).load()


def load_file(spec: str) -> Any:
    """`PATH.py:NAME`, or `PATH.py` for a file with one public recipe function or piece."""
    path_text, _, symbol = spec.partition(".py:")
    path = Path(path_text.removesuffix(".py") + ".py").expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    name = "strop_user_" + path.stem
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != str(path):
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    public = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == name and not n.startswith("_")]
    if not symbol:
        if len(public) != 1:
            raise ConfigError(f"{path} defines {public or 'nothing public'}; say which one: {path}:NAME.")
        symbol = public[0]
    if symbol not in public:
        raise ConfigError(f"{path} defines no {symbol!r}. {did_you_mean(symbol, public)}")
    return getattr(module, symbol)


@functools.cache
def _walk(name: str) -> tuple[Entry, ...]:
    folder = ROOT / name
    paths = sorted(
        p for p in folder.rglob("*.py") if not any(part.startswith("_") for part in p.parts[len(folder.parts) :])
    )
    return tuple(entry for path in paths if (entry := _read(name, path)) is not None)


def _read(name: str, path: Path) -> Entry | None:
    # listing must stay quick however many members there are, so nothing is parsed here
    keyword, wanted = ("def", path.stem) if name in FUNCTION_ROOMS else ("class", path.stem.replace("_", ""))
    defined = re.findall(rf"^{keyword} (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    symbol = next((each for each in defined if each == wanted or (keyword == "class" and each.lower() == wanted)), None)
    return None if symbol is None else Entry(name, path.stem, path, symbol)
