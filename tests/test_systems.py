"""The table of systems is complete and consistent, and a level is what exists, never what is claimed."""

import json
import re
import tomllib

import pytest

from strop import catalogue, systems

TOP = catalogue.ROOT.parent
ROWS = systems.load()
LIST = TOP.parent / "shared" / "systems.tsv"
FIELDS = {"name", "title", "source", "family", "room"}
OPTIONAL = {"recipe", "pieces", "baseline"}
SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d+/\S+|github\.com/[\w.-]+/[\w.-]+|openreview:\w+")


def plain(text):
    """Letters and digits of a name, without what stands in parentheses."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\([^)]*\)", "", text.lower()))


def test_rows_hold_data_and_no_level():
    rows = tomllib.loads((TOP / "docs" / "systems.toml").read_text(encoding="utf-8"))["system"]
    assert len(rows) == len(ROWS)
    for row in rows:
        assert set(row) >= FIELDS, row["name"]
        assert set(row) <= FIELDS | OPTIONAL, row["name"]


def test_names_and_titles_are_unique():
    for column in ("name", "title"):
        values = [getattr(row, column) for row in ROWS]
        assert sorted(values) == sorted(set(values))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_is_well_formed(row):
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", row.name)
    assert row.title
    assert row.rooms, "every word of its room is a known one"
    for part in filter(None, row.source.split("; ")):
        assert SOURCE.match(part), part
    assert not row.baseline or systems.recipe_file(row.baseline), f"no recipe {row.baseline}"
    for address in row.pieces:
        assert address.split("/")[0] in catalogue.ROOMS, address


@pytest.mark.skipif(not LIST.is_file(), reason="the list of systems is not beside this checkout")
def test_every_system_of_the_list_has_its_row():
    lines = [line.split("\t") for line in LIST.read_text(encoding="utf-8").splitlines()[1:] if line]
    assert len(lines) == len(ROWS)
    for (family, system, room), row in zip(lines, ROWS, strict=True):
        assert (family, room) == (row.family, row.room), system
        assert plain(row.title).startswith(plain(system)), f"{system} is not {row.name}: {row.title}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A checkout with one reward and nothing else."""
    root = tmp_path / "strop"
    for folder in ("strop/rewards", "strop/recipes", "docs", "tests/golden", "evidence/real"):
        (tmp_path / folder).mkdir(parents=True)
    (root / "rewards" / "short.py").write_text("class Short: ...")
    monkeypatch.setattr(catalogue, "ROOT", root)
    places = systems.Places(tmp_path / "docs", tmp_path / "tests", tmp_path / "tests" / "golden", tmp_path / "evidence")
    monkeypatch.setattr(systems, "places", lambda: places)
    systems._tests.cache_clear()
    yield tmp_path
    systems._tests.cache_clear()


def test_levels_climb_one_rung_at_a_time(package):
    system = systems.System(name="paper", title="Paper", source="", family="rl", room="reward")
    assert systems.level(system) == 0

    (package / "strop/recipes/paper.py").write_text("from strop.rewards.short import Short\ndef paper(): ...")
    assert systems.level(system) == 0, "its piece has no test"

    (package / "tests/test_short.py").write_text("from strop.rewards.short import (\n    Short,\n)\n")
    systems._tests.cache_clear()
    assert systems.level(system) == 1

    (package / "evidence/paper.json").write_text(json.dumps({"verdict": "opposite"}))
    assert systems.level(system) == 1, "a rung cannot be left out"

    (package / "tests/golden/paper.json").write_text("{}")
    assert systems.level(system) == 3

    (package / "evidence/paper.json").write_text(json.dumps({"verdict": "promising"}))
    assert systems.level(system) == 2, "that is no verdict"

    (package / "evidence/paper.json").write_text(json.dumps({"verdict": "not reproduced"}))
    (package / "evidence/real/paper.json").write_text(json.dumps({"command": "strop run paper", "hardware": ""}))
    assert systems.level(system) == 3, "no hardware is named"

    (package / "evidence/real/paper.json").write_text(json.dumps({"command": "strop run paper", "hardware": "1 GPU"}))
    assert systems.level(system) == 4


def test_named_pieces_must_all_exist(package):
    system = systems.System(
        name="paper", title="", source="", family="rl", room="reward", pieces=("rewards/short", "probes/absent")
    )
    (package / "tests/test_short.py").write_text("from strop.rewards.short import Short\n")
    systems._tests.cache_clear()
    assert systems.level(system) == 0
    assert systems.ladder(system)[0] == (False, "probes/absent: absent")


def test_broken_evidence_is_named(package):
    (package / "evidence/paper.json").write_text("{")
    with pytest.raises(ValueError, match=r"paper\.json is not valid JSON"):
        systems.evidence("paper")


def test_an_installed_package_reads_its_own_data(tmp_path):
    assert systems.places(tmp_path / "strop").rows == tmp_path / "strop" / "assets" / "systems.toml"
    assert systems.places(tmp_path / "strop").tests is None
    assert systems.places(catalogue.ROOT).rows == TOP / "docs" / "systems.toml"


def test_the_wheel_carries_rows_evidence_and_recordings():
    build = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    installed = systems.places(TOP / "nowhere" / "strop")
    wanted = {
        "docs/systems.toml": installed.rows, "evidence": installed.evidence, "tests/golden": installed.golden,
    }  # fmt: skip
    actual = build["targets"]["wheel"]["force-include"]
    assert actual == {source: str(path.relative_to(TOP / "nowhere")) for source, path in wanted.items()}
    assert all((TOP / source).exists() for source in actual)
