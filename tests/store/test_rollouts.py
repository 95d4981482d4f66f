"""Reading rollouts that others made."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strop.errors import StoreError
from strop.records import Verdict
from strop.store.rollouts import read_rollouts

ROWS = [
    {
        "problem_id": "b",
        "sample": 1,
        "response": "six",
        "reference": "5",
        "correct": False,
        "answer": "6",
        "score": 0.25,
    },
    {"problem_id": "b", "sample": 0, "response": "five", "reference": "5", "correct": True, "answer": 5, "tokens": 7},
    {"problem_id": "a", "sample": 0, "response": "", "reference": 5, "correct": None, "tokens": [4, 9]},
    {"problem_id": "b", "sample": 0, "response": "later", "reference": "5", "checkpoint": "step-10"},
]


def write(path, rows, columns=None):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows, schema=columns), path)
    return path


def test_rows_become_groups_by_problem_and_checkpoint(tmp_path):
    groups = read_rollouts(write(tmp_path / "r.jsonl", ROWS))
    assert [(g.problem.id, [t.text for t in g.trajectories]) for g in groups] == [
        ("b", ["five", "six"]),
        ("a", [""]),
        ("b", ["later"]),
    ]
    five, six = groups[0].trajectories
    assert (five.verdict, six.verdict) == (Verdict("right", answer="5"), Verdict("wrong", answer="6"))
    assert (five.reward, six.reward) == (0.0, 0.25)
    assert (five.length, six.length) == (7, 0)
    [nothing] = groups[1].trajectories
    assert nothing.verdict is None
    np.testing.assert_array_equal(nothing.tokens, [4, 9])
    assert groups[1].problem.reference == 5
    assert groups[2].trajectories[0].checkpoint == "step-10"


def test_parquet_says_the_same_as_jsonl(tmp_path):
    # Arrow takes its columns from the first row
    rows = [
        {"checkpoint": None, "correct": None} | row | {"answer": str(row.get("answer")), "reference": "5", "tokens": 3}
        for row in ROWS
    ]
    one, other = (read_rollouts(write(tmp_path / f"r.{kind}", rows)) for kind in ("jsonl", "parquet"))
    assert [g.problem for g in one] == [g.problem for g in other]
    expected, actual = (
        [(t.sample, t.text, t.verdict, t.reward, t.length, t.checkpoint) for g in groups for t in g.trajectories]
        for groups in (one, other)
    )
    assert actual == expected


def test_a_run_folder_reads_as_its_rollouts(tmp_path):
    from strop.store.schema import table

    blank = {"int32": 0, "float64": 0.5, "string": "", "map<string, float64>": []}
    columns = table("rollouts").columns
    for step in (1, 2):
        rows = [
            {c.name: blank[c.type] for c in columns}
            | {"step": step, "problem_id": "a/train/0", "sample": sample, "response": f"{step}.{sample}", "score": 1.0}
            | {"outcome": outcome, "answer": "5", "detail": "why", "question": "2+3", "tokens": 4, "reference": "5"}
            for sample, outcome in enumerate(("right", "timeout"))
        ]
        folder = tmp_path / "rollouts" / f"step={step:06d}"
        folder.mkdir(parents=True)
        write(folder / "train.parquet", rows, table("rollouts").arrow())
    groups = read_rollouts(tmp_path)
    assert [[t.text for t in g.trajectories] for g in groups] == [["1.0", "1.1"], ["2.0", "2.1"]]
    assert groups[0].trajectories[1].verdict == Verdict("timeout", answer="5", detail="why")
    assert groups[0].trajectories[0].reward == 0.5, (
        "of strop's own rollouts the reward counts, not the 1 or 0 in `score`"
    )
    assert groups[0].problem.question == "2+3"


def test_no_torch_is_loaded(tmp_path):
    path = write(tmp_path / "r.jsonl", ROWS)
    code = f"import sys; from strop.store.rollouts import read_rollouts; read_rollouts({str(path)!r}); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


GOOD = {"problem_id": "a", "sample": 0, "response": "5"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD, '{"problem_id": "a",'], "line 2: not valid JSON"),
        ([GOOD, "[1]"], "line 2: expected an object"),
        ([GOOD, GOOD], "line 2: sample 0 of problem 'a' is there twice"),
        ([GOOD | {"checkpoint": "x"}, "", GOOD | {"checkpoint": "x"}], "line 3: .*checkpoint 'x' is there twice"),
        ([{"problem": "a", "sample": 0, "response": ""}], "line 1: `problem_id` is missing. Did you mean 'problem'?"),
        ([{"problem_id": "a", "response": ""}], "line 1: `sample` is missing"),
        ([GOOD | {"response": None}], "line 1: `response` is missing"),
        ([GOOD | {"sample": "0"}], "line 1: `sample` must be a whole number from 0, got '0'"),
        ([GOOD | {"correct": "yes"}], "line 1: `correct` must be true or false, got 'yes'"),
        ([GOOD | {"score": "high"}], "line 1: `score` must be a finite number, got 'high'"),
        ([GOOD | {"tokens": -1}], "line 1: `tokens` must be"),
        (
            [GOOD | {"reference": "5"}, GOOD | {"sample": 1, "reference": "6"}],
            "line 2: `reference` of problem 'a' is '6'",
        ),
        (["[" * 100_000], "line 1: not valid JSON"),
        ([], "holds no rollouts"),
        (["", " "], "holds no rollouts"),
    ],
)
def test_each_fault_is_one_clear_error(tmp_path, lines, message):
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    with pytest.raises(StoreError, match=message) as caught:
        read_rollouts(path)
    assert "broken.jsonl" in str(caught.value)


def test_files_that_are_not_rollouts(tmp_path):
    with pytest.raises(StoreError, match="There is no file"):
        read_rollouts(tmp_path / "absent.jsonl")
    with pytest.raises(StoreError, match=r"\.jsonl or \.parquet"):
        read_rollouts(write(tmp_path / "r.jsonl", ROWS).rename(tmp_path / "r.csv"))
    (tmp_path / "r.parquet").write_bytes(b"PAR1 but broken")
    with pytest.raises(StoreError, match="cannot be read as Parquet"):
        read_rollouts(tmp_path / "r.parquet")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem_id": "\xe9", "sample": 0, "response": ""}')
    with pytest.raises(StoreError, match="line 1: not UTF-8"):
        read_rollouts(tmp_path / "latin.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="folder without rollouts"):
        read_rollouts(tmp_path / "empty")
    write(tmp_path / "twice.parquet", [GOOD, GOOD])
    with pytest.raises(StoreError, match=r"twice.parquet, row 2: sample 0"):
        read_rollouts(tmp_path / "twice.parquet")
