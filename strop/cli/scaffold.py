"""What `strop new` writes: texts from `assets/new`, each a small member that already runs, and its test."""

import re
from dataclasses import dataclass
from pathlib import Path

from strop import catalogue
from strop.contracts import CONTRACTS
from strop.errors import ConfigError, did_you_mean
from strop.systems import places

TEMPLATES = catalogue.ROOT / "assets" / "new"
MARK = "# ---- test ----\n"
"""What divides a template: the member above, its test below."""

IN_A_RECIPE = {
    "rewards": ", rewards=(*base.stages[0].rewards, {}())",
    "advantages": ", advantage={}()",
    "objectives": ", objective={}()",
    "objectives/averages": ", average={}()",
    "curricula": ", curriculum={}()",
    "episodes": ", episode={}(max_tokens=max_tokens)",
    "verifiers": ", verifier={}()",
    "curators": ", curator={}()",
    "controllers": ", controllers=({}(),)",
}
"""How a recipe uses a member of each room."""
FIELD = {
    "rewards": "rewards", "advantages": "advantage", "objectives": "objective", "objectives/averages": "average",
    "curricula": "curriculum", "episodes": "episode", "verifiers": "verifier", "curators": "curator",
    "controllers": "controllers",
}  # fmt: skip
"""The field of a stage that takes it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Files to write, and what to type after that."""

    files: dict[Path, str]
    commands: tuple[str, ...]


def plan(room: str, name: str, *, recipe: bool = False, user: bool = False) -> Plan:
    """What `strop new ROOM NAME` would write. Raises `ConfigError` where a name does not fit or a file exists."""
    group, _, stem = name.rpartition("/")
    _check_name(room, group, stem)
    if recipe and _slot(room, group) not in IN_A_RECIPE:
        usable = ", ".join(IN_A_RECIPE)
        raise ConfigError(f"A stage of a recipe has no place for a member of {room}; --recipe goes with: {usable}.")
    if recipe and user:
        raise ConfigError("--recipe goes with a member of the package; with --user, change a recipe by --set instead.")
    made = _user_files(room, group, stem) if user else _package_files(room, group, stem, recipe)
    taken = [str(path) for path in made.files if path.exists()]
    if taken:
        raise ConfigError(f"Already there, and not overwritten: {', '.join(taken)}. Choose another name.")
    return made


def class_name(stem: str) -> str:
    """
    >>> class_name("clip_higher"), class_name("k_sat")
    ('ClipHigher', 'KSat')
    """
    return "".join(word.capitalize() for word in stem.split("_"))


def _slot(room: str, group: str) -> str:
    return f"{room}/{group}" if f"{room}/{group}" in IN_A_RECIPE else room


def _package_files(room: str, group: str, stem: str, recipe: bool) -> Plan:
    tests = places().tests
    if tests is None:
        raise ConfigError(
            f"strop is installed, not checked out: write your own file with strop new {room} {stem} --user."
        )
    known = {entry.name: entry.address for entry in catalogue.room(room)}
    if stem in known:
        raise ConfigError(f"{room} has a member {stem} already: strop/{known[stem]}.py. Choose another name.")
    folder = f"{room}/{group}" if group else room
    path = catalogue.ROOT / folder / f"{stem}.py"
    # pytest wants the names of test files to be unique across folders
    clash = any(tests.rglob(f"test_{stem}.py"))
    test = tests / room / (f"test_{room}_{stem}.py" if clash else f"test_{stem}.py")
    member, checks = _filled(room, group, stem, f"strop.{folder.replace('/', '.')}.{stem}")
    files = {path: member, test: checks}
    if recipe:
        symbol = class_name(stem)
        import_line = f"\nfrom strop.{folder.replace('/', '.')}.{stem} import {symbol}"
        change = IN_A_RECIPE[_slot(room, group)].format(symbol)
        member, checks = _filled("recipes", "", stem, f"strop.recipes.{stem}", import_line, change)
        files |= {
            catalogue.ROOT / "recipes" / f"{stem}.py": member,
            tests / "recipes" / f"test_recipes_{stem}.py": checks,
        }
    commands = [f"edit {path}   (every FILL IN)"]
    if room in CONTRACTS:
        commands.append(f"strop check {folder}/{stem}")
    commands.append(f"python -m pytest {test} {path}")
    if recipe or room == "recipes":
        commands.append(f"strop run {stem} --dry-run")
    return Plan(files, tuple(commands))


def _user_files(room: str, group: str, stem: str) -> Plan:
    path = Path.cwd() / f"{stem}.py"
    member, _ = _filled(room, group, stem, stem)
    commands = [f"edit {path}   (every FILL IN)"]
    if room == "recipes":
        commands.append(f"strop run ./{stem}.py --dry-run")
    elif room in CONTRACTS:
        commands.append(f"strop check ./{stem}.py:{class_name(stem)}")
    field = FIELD.get(_slot(room, group))
    if field:
        kept = "correctness," if field == "rewards" else ""
        commands.append(f"strop run grpo --set stages.0.{field}={kept}./{stem}.py:{class_name(stem)}")
    elif room == "tasks":
        commands.append(f"strop run grpo --set task=./{stem}.py:{class_name(stem)}")
    return Plan({path: member}, tuple(commands))


def _filled(room: str, group: str, stem: str, module: str, import_line: str = "", change: str = "") -> tuple[str, str]:
    """The member and its test, with the names put in."""
    text = (TEMPLATES / f"{'.'.join(filter(None, (room, group)))}.txt").read_text(encoding="utf-8")
    values = {"Class": class_name(stem), "name": stem, "module": module, "import": import_line, "change": change}
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    member, _, test = text.partition(MARK)
    return _sorted_imports(member), _sorted_imports(test)


def _sorted_imports(text: str) -> str:
    """Adjoining `from strop` imports in the order the formatter wants, whatever name was put in."""
    return re.sub(
        r"(?:^from strop.*\n)+", lambda block: "".join(sorted(block[0].splitlines(keepends=True))), text, flags=re.M
    )


def _check_name(room: str, group: str, stem: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", stem):
        raise ConfigError(f"A name is words in lower case joined by underscores (clip_higher), got {stem!r}.")
    groups = sorted(p.stem.partition(".")[2] for p in TEMPLATES.glob(f"{room}.*.txt"))
    if groups and group not in groups:
        hint = f"{room} has folders: {', '.join(groups)}. Try: strop new {room} {groups[-2]}/{stem}."
        raise ConfigError(f"No folder {group!r}. {did_you_mean(group, groups)} {hint}" if group else hint)
    if not groups and group:
        raise ConfigError(f"{room} has no folders: strop new {room} {stem}.")
    if not groups and not (TEMPLATES / f"{room}.txt").is_file():
        raise ConfigError(f"There is no template for {room}: start from a member of it (strop ls {room}).")
