"""The schema is one declaration: files, views, page and columns of other people's rollouts agree with it."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strop.catalogue import ROOT
from strop.errors import StoreError
from strop.store import query
from strop.store.rollouts import NEEDED, OPTIONAL, read_rollouts
from strop.store.schema import SCHEMA_VERSION, TABLES, check_version, markdown, table


@pytest.mark.parametrize("name", TABLES)
def test_arrow_and_duckdb_types_agree(name: str):
    """The SQL types are written down beside the Arrow types; DuckDB's own conversion says whether they match."""
    held = table(name).arrow().empty_table()
    expected = duckdb.sql("SELECT * FROM held").types
    connection = duckdb.connect()
    connection.execute(table(name).view(None))
    view = connection.sql(f'SELECT * FROM "{name}"')
    assert view.columns == held.column_names
    assert view.types == expected
    assert len(view.fetchall()) == 0


def test_page_names_every_column_with_type_and_meaning():
    page = markdown()
    for each in TABLES.values():
        assert f"## `{each.name}`" in page
        for column in each.columns:
            assert f"| `{column.name}` | `{column.type}` | {column.meaning} |" in page
            assert column.meaning.endswith(".")
            assert "|" not in column.meaning


def test_shared_columns_have_the_names_of_foreign_rollouts():
    names = set(table("rollouts").names)
    assert set(NEEDED) <= names
    # `correct` says what `score` and `outcome` say
    assert set(OPTIONAL) - names == {"correct"}


def test_a_run_reads_as_rollouts_of_anyone(write_run):
    run = write_run()
    for place in (run, run / "rollouts" / "step=000002", run / "rollouts" / "step=000002" / "heldout.parquet"):
        found = read_rollouts(place)
        attempt = found[0].trajectories[0]
        assert attempt.verdict is not None
        assert (attempt.verdict.outcome, attempt.verdict.answer) == ("right", attempt.problem.reference)
    assert len(read_rollouts(run)) == 4 * 2 + 2 * 2


def test_every_file_carries_the_version(write_run):
    from strop import __version__

    run = write_run()
    files = sorted(run.rglob("*.parquet"))
    assert {file.relative_to(run).parts[0] for file in files} == {
        "rollouts", "tokens", "metrics.parquet", "errors.parquet",
    }  # fmt: skip
    for file in files:
        metadata = pq.read_schema(file).metadata
        assert metadata[b"strop.schema_version"] == str(SCHEMA_VERSION).encode()
        assert metadata[b"strop.version"] == __version__.encode()


def test_newer_and_foreign_files_are_refused(write_run):
    check_version({b"strop.schema_version": b"1"}, "x")
    with pytest.raises(StoreError, match=r"x has schema version 2, written by strop 9.9; .* pip install --upgrade"):
        check_version({b"strop.schema_version": b"2", b"strop.version": b"9.9"}, "x")
    with pytest.raises(StoreError, match="schema version none"):
        check_version(None, "x")
    run = write_run()
    pq.write_table(pa.table({"step": [1]}), run / "metrics.parquet")
    for read in (lambda: query.query(run, "SELECT 1"), lambda: query.differences(run, run)):
        with pytest.raises(StoreError, match=r"metrics\.parquet has schema version none"):
            read()


def test_a_column_that_older_files_lack_is_null(write_run):
    run = write_run(steps=[1, 2])
    old = run / "rollouts" / "step=000001" / "train.parquet"
    pq.write_table(pq.read_table(old, partitioning=None).drop_columns(["difficulty"]), old)
    rows = query.query(
        run, "SELECT DISTINCT step, difficulty IS NULL AS absent FROM rollouts ORDER BY step"
    ).to_pylist()
    assert rows == [{"step": 1, "absent": True}, {"step": 2, "absent": False}]
    for later in (run / "rollouts" / "step=000002").iterdir():
        later.unlink()
    assert query.query(run, "SELECT DISTINCT difficulty FROM rollouts").to_pylist() == [{"difficulty": None}]


def test_unknown_table_is_named_with_the_nearest():
    with pytest.raises(StoreError, match=r"no table 'metric'\. Did you mean 'metrics'"):
        table("metric")


def test_files_stand_on_their_own(write_run, tmp_path: Path):
    """A file copied out of its folder still says which step it is from."""
    run = write_run()
    copy = tmp_path / "copy.parquet"
    copy.write_bytes((run / "rollouts" / "step=000004" / "train.parquet").read_bytes())
    assert set(pq.read_table(copy)["step"].to_pylist()) == {4}


def test_the_code_of_the_page_runs(write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT.parent / "docs" / "store.md").read_text(), flags=re.S)
    assert len(blocks) == 5
    write_run("runs/grpo-1")
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("pandas")
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert names["lost"].column_names == ["problem_id", "question", "before", "after"]
    assert names["lost"].num_rows == 0
    assert len(names["pandas"].read_parquet("runs/grpo-1/rollouts", partitioning=None)) == 4 * 6 + 2 * 2
