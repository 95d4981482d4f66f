"""Every member of every room is complete: named for its file, sourced, typed, documented, tested."""

import ast

import pytest

from strop import catalogue, systems

PIECES = [e for room in catalogue.ROOMS if room not in catalogue.FUNCTION_ROOMS for e in catalogue.room(room)]
RECIPES = [e for room in catalogue.FUNCTION_ROOMS for e in catalogue.room(room)]
MEMBERS = [*PIECES, *RECIPES]

CALLS = {
    "tasks": ("problem", "verify", "write", "corrupt"),
    "curricula": ("init", "pick", "drop", "update"),
    "controllers": ("init", "update", "apply"),
}
"""What the loop calls on members of a room, where that is not `__call__`."""


def address(entry):
    return entry.address


def methods(entry):
    tree = ast.parse(entry.path.read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == entry.symbol)
    return {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}


def untyped(function):
    """Names of the parameters without an annotation, `return` included."""
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    names = [p.arg for p in parameters if p is not None and p.annotation is None and p.arg not in ("self", "cls")]
    return names + (["return"] if function.returns is None else [])


@pytest.mark.parametrize("room", catalogue.ROOMS)
def test_every_public_file_defines_what_it_is_named_for(room):
    folder = catalogue.ROOT / room
    public = {p for p in folder.rglob("*.py") if not any(part.startswith("_") for part in p.relative_to(folder).parts)}
    assert public == {entry.path for entry in catalogue.room(room)}


def test_names_stand_once_in_a_room():
    names = [f"{entry.room}/{entry.name}" for entry in MEMBERS]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("entry", MEMBERS, ids=address)
def test_docstring_says_what_it_is_and_where_it_comes_from(entry):
    assert entry.summary.rstrip().endswith((".", ":")), f"{entry.path}: the first paragraph should be a sentence."
    assert "Source:" in entry.docstring, f"{entry.path}: the docstring has no Source:."
    assert "FILL IN" not in entry.path.read_text(encoding="utf-8"), (
        f"{entry.path}: a stub of strop new is not filled in."
    )


@pytest.mark.parametrize("entry", PIECES, ids=address)
def test_piece_has_a_doctest(entry):
    assert ">>> " in entry.path.read_text(encoding="utf-8"), f"{entry.path}: no doctest with values computed by hand."


@pytest.mark.parametrize("entry", MEMBERS, ids=address)
def test_member_has_a_test(entry):
    if entry.room in catalogue.FUNCTION_ROOMS:
        golden = systems.places().golden / f"{entry.name}.json"
        assert golden.is_file() or systems.find_tests(entry.address), f"{entry.address}: no recorded run and no test."
    else:
        assert systems.find_tests(entry.address), (
            f"{entry.address}: no tests/{entry.room}/test_{entry.name}.py, none imports it."
        )


@pytest.mark.parametrize("entry", PIECES, ids=address)
def test_what_the_loop_calls_is_typed(entry):
    made = methods(entry)
    for name in CALLS.get(entry.room, ("__call__",)):
        assert name in made, f"{entry.path}: {entry.symbol} has no {name}."
        assert not untyped(made[name]), f"{entry.path}: {entry.symbol}.{name} leaves {untyped(made[name])} untyped."


def test_the_typing_check_can_fail():
    (function,) = ast.parse("def __call__(self, group, state: dict): ...").body
    assert untyped(function) == ["group", "return"]
