"""Files stay small enough to be read in one sitting."""

import ast

import pytest

from strop import catalogue

ROOT = catalogue.ROOT
TOP = ROOT.parent
MEMBERS = [entry.path for room in catalogue.ROOMS for entry in catalogue.room(room)]
FILES = sorted(path for folder in ("strop", "tests", "docs", "benchmarks") for path in (TOP / folder).rglob("*.py"))


def length(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def public_classes(text):
    return [
        node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def name(path):
    return str(path.relative_to(TOP))


@pytest.mark.parametrize("path", MEMBERS, ids=name)
def test_a_method_has_at_most_150_lines_and_one_public_class(path):
    assert length(path) <= 150
    classes = public_classes(path.read_text(encoding="utf-8"))
    assert len(classes) <= 1, f"{classes}: move all but one to a file of its own, or give it an underscore."


@pytest.mark.parametrize("path", FILES, ids=name)
def test_any_file_has_at_most_400_lines(path):
    assert length(path) <= 400


def test_the_loop_has_at_most_250_lines():
    assert length(ROOT / "flow.py") <= 250


def test_the_checks_can_fail(tmp_path):
    long = tmp_path / "long.py"
    long.write_text("x = 1\n" * 401)
    assert length(long) == 401
    assert public_classes("class A: ...\nclass _B: ...\nclass C: ...") == ["A", "C"]
