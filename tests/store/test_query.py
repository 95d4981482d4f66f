"""SQL over a run, metrics by step, and what counts as a difference between two runs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_runs import RECIPE, made_groups, made_metrics, write_steps

from strop.errors import StoreError
from strop.store import query
from strop.store.parts import read
from strop.store.writer import RunWriter


def test_views_agree_with_a_plain_count(write_run):
    run = write_run()
    rows = query.query(
        run, "SELECT step, split, count(*) AS n, sum(reward) AS total FROM rollouts GROUP BY ALL ORDER BY ALL"
    )
    expected = []
    for step in range(1, 5):
        for split in ("heldout", "train") if step % 2 == 0 else ("train",):
            attempts = [
                t for g in made_groups(step, split, samples=1 if split == "heldout" else 3) for t in g.trajectories
            ]
            expected.append((step, split, len(attempts), pytest.approx(sum(t.reward for t in attempts))))
    assert [tuple(row.values()) for row in rows.to_pylist()] == expected


def test_maps_lists_and_joins(write_run):
    run = write_run()
    row = query.query(
        run,
        """SELECT r.rewards['length'] AS part, len(t.token_ids) AS n, r.prompt_tokens, len(t.prompt_ids) AS p
        FROM rollouts r JOIN tokens t USING (step, split, "group", sample)
        WHERE step = 3 AND "group" = 1 AND sample = 2""",
    ).to_pylist()[0]
    attempt = made_groups(3)[1].trajectories[2]
    assert attempt.tokens is not None
    assert row == {"part": attempt.rewards["length"], "n": len(attempt.tokens), "prompt_tokens": 4, "p": 4}


def test_tables_not_written_yet_are_empty(tmp_path: Path):
    run = RunWriter.create(tmp_path / "run", RECIPE).path
    for name in ("metrics", "rollouts", "tokens", "errors"):
        assert query.query(run, f"SELECT * FROM {name}").num_rows == 0


def test_steps_not_gathered_yet_are_seen(write_run):
    run = write_run(steps=range(1, 4), every=2, finish=False)
    steps = query.query(run, "SELECT DISTINCT step FROM metrics ORDER BY 1")["step"].to_pylist()
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("name", ["a b", "it's", "star*[1]?", "é{a,b}"])
def test_any_folder_name(write_run, name: str):
    run = write_run(name)
    assert query.query(run, "SELECT count(*) AS n FROM rollouts").to_pylist() == [{"n": 4 * 6 + 2 * 2}]


def test_errors_name_the_tables(write_run, tmp_path: Path):
    run = write_run(steps=[1])
    with pytest.raises(StoreError, match=r"(?s)rollout.*Tables: metrics, rollouts, tokens, errors"):
        query.query(run, "SELECT * FROM rollout")
    with pytest.raises(StoreError, match="holds no run"):
        query.query(tmp_path, "SELECT 1")
    (run / "metrics" / "step=000002").mkdir(parents=True)
    (run / "metrics" / "step=000002" / "train.parquet").write_bytes(b"broken")
    with pytest.raises(StoreError, match=r"train\.parquet cannot be read"):
        query.query(run, "SELECT * FROM metrics")


def test_sql_fetches_no_extension(write_run):
    """An extension that is not there is not fetched: DuckDB would otherwise download `httpfs` for such a path."""
    with pytest.raises(StoreError, match="requires the extension httpfs"):
        query.query(write_run(steps=[1]), "SELECT * FROM 'https://127.0.0.1:9/x.parquet'")


def test_a_reader_meets_a_writer_that_is_gathering(write_run, monkeypatch: pytest.MonkeyPatch):
    """A file that was listed is gone when it is opened: the list is made anew."""
    run = write_run(steps=range(1, 4), every=9, finish=False)
    parts, calls = query.parts, 0

    def stale(folder: Path, name: str) -> list[Path]:
        nonlocal calls
        found = parts(folder, name)
        if name == "metrics" and not calls:
            calls += 1
            RunWriter(run, None, 3).finish()
        return found

    monkeypatch.setattr("strop.store.parts.parts", stale)
    assert query.query(run, "SELECT count(*) AS n FROM metrics").to_pylist() == [{"n": 9}]
    assert calls == 1


def test_pivot_by_hand():
    long = pa.table(
        {
            "step": pa.array([3, 1, 1, 3, 3], pa.int32()),
            "stage": ["b", "a", "a", "b", "b"],
            "name": ["loss", "loss", "kl", "x", "loss"],
            "value": [1.0, np.nan, 2.0, 3.0, 4.0],
        }
    )
    wide = query.pivot(long)
    assert wide.column_names == ["step", "stage", "kl", "loss", "x"]
    assert str(wide.to_pylist()) == str(
        [
            {"step": 1, "stage": "a", "kl": 2.0, "loss": np.nan, "x": None},
            {"step": 3, "stage": "b", "kl": None, "loss": 4.0, "x": 3.0},
        ]
    )
    assert query.pivot(long.slice(0, 0)).num_rows == 0


def test_equal_runs_have_no_differences(write_run):
    one, other = write_run("one"), write_run("other")
    assert query.differences(one, other) == []
    assert np.isnan(query.pivot(read(one, "metrics"))["loss"].to_pylist()[1])  # NaN is there, and equals itself


def _changed(run: Path, **changes: float) -> None:
    """Write step 2 of the metrics again, changed."""
    rows = read(run, "metrics").to_pylist()
    for row in rows:
        if row["step"] == 2 and row["name"] in changes:
            row["value"] = changes[row["name"]]
    pq.write_table(pa.Table.from_pylist(rows, schema=read(run, "metrics").schema), run / "metrics.parquet")


def test_what_differs_is_named(write_run, tmp_path: Path):
    one, other = write_run("one"), write_run("other")
    _changed(other, **{"time/step": 9.0})
    assert query.differences(one, other) == []  # the machine is no part of a run
    _changed(other, **{"reward/mean": np.nextafter(0.2, 1.0)})
    (found,) = query.differences(one, other)
    assert (
        found
        == "metrics.value: 1 rows differ, first {'step': 2, 'name': 'reward/mean'}: 0.2 against 0.20000000000000004"
    )
    assert query.differences(one, other, tables=["rollouts"]) == []

    third = RunWriter.create(tmp_path / "third", RECIPE)
    write_steps(third, range(1, 4), 2)
    third.append(4, "rl", "train", made_groups(4, text="another"), made_metrics(4))
    third.append(4, "rl", "heldout", made_groups(4, "heldout", samples=1), {"accuracy/heldout": 0.5})
    third.checkpoint(
        4, {"step": 4, "memory": np.arange(4)}, lambda path: (path / "model.safetensors").write_bytes(b"other")
    )
    found = query.differences(one, third.path)
    assert [line.split(":")[0] for line in found] == ["rollouts.response", "checkpoint of step 4"]
    assert found[1].endswith("model.safetensors")

    short = write_run("short", range(1, 3))
    assert "metrics: 10 rows against 5" in query.differences(one, short)
