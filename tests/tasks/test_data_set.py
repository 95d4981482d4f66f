"""Data sets from files, on small files made here and on public ones."""

import json
import sys
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from strop.errors import TaskError
from strop.keys import Key
from strop.piece import build, dump
from strop.tasks.data_set import DataSet
from strop.text import split_thought
from strop.verifiers._pool import judge
from strop.verifiers.math import Math

DATA = Path(__file__).parents[2].parent / "shared" / "data"
QA = {"question": "q", "answer": "a"}


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def sums(count):
    return [{"q": f"{i}+1", "a": str(i + 1)} for i in range(count)]


def everything(task):
    return {split: [task.problem(split, i) for i in range(task.size(split))] for split in ("train", "heldout")}


@pytest.mark.parametrize(
    ("mapping", "file", "rows"),
    [("gsm8k", "gsm8k_test", 1319), ("math", "math500_test", 500), ("svamp", "svamp_test", 1000)],
)
def test_shipped_mappings_on_the_public_files(mapping, file, rows):
    path = DATA / f"{file}.jsonl"
    if not path.exists():
        pytest.skip(f"needs the public data set {path.name} in ../shared/data")
    task = DataSet(data=str(path), mapping=mapping)
    problems = everything(task)
    assert len(problems["train"]) + len(problems["heldout"]) == rows
    assert abs(len(problems["heldout"]) - rows / 10) <= 1
    assert not {p.question for p in problems["train"]} & {p.question for p in problems["heldout"]}
    assert (task.name, task.verifier) == (mapping, "math")
    some = problems["train"][:12]
    written = [(task.write(p, "short", Key.root(0)), p) for p in some]
    if mapping == "svamp":
        assert written[0][0] is None
        assert "." in some[0].question
        assert some[0].question.endswith("?")
    else:
        assert all(split_thought(text).well_formed for text, _ in written)
        assert not any("<<" in text or "####" in text for text, _ in written)
        assert {v.outcome for v in judge(Math(), written)} == {"right"}
    corrupted = [(task.corrupt(p, Key.root(i)), p) for i, p in enumerate(some)]
    assert {v.outcome for v in judge(Math(), corrupted)} == {"wrong"}


def test_levels_and_subjects(tmp_path):
    rows = [
        {"problem": "p", "answer": "1", "solution": "s", "level": level, "subject": "Algebra"}
        for level in (3, "Level 5", "?")
    ]
    rows = [row | {"problem": f"p{i}"} for i, row in enumerate(rows)]
    problems = everything(DataSet(data=write(tmp_path / "m.jsonl", rows), mapping="math"))
    by_question = {p.question: p for split in problems.values() for p in split}
    assert [by_question[f"p{i}"].difficulty for i in range(3)] == [3, 5, 0]
    assert by_question["p0"].data == {"solution": "s", "subject": "Algebra"}


def test_own_mapping_and_parquet(tmp_path):
    pq.write_table(
        pa.Table.from_pylist([{"a": "b", "c": "d", "e": "so: 7"}, {"a": "x", "c": "y", "e": "so: 8"}]),
        tmp_path / "t.parquet",
    )
    fields = {"question": ["a", "c"], "answer": "e", "pattern": r"so: (\d+)"}
    task = build(DataSet, {"data": str(tmp_path / "t.parquet"), "mapping": fields, "label": "own"}, "task")
    problems = everything(task)
    assert sorted((p.question, p.reference) for split in problems.values() for p in split) == [
        ("b d", "7"),
        ("x y", "8"),
    ]
    assert [p.id for p in problems["train"]] == ["own/train/0"]
    stored = {name: value for name, value in dump(task).items() if name != "piece"}
    assert build(DataSet, stored, "task") == task, "a recipe file makes the same task again"


def test_the_hashed_share_does_not_depend_on_the_order_of_rows(tmp_path):
    rows = sums(200)
    one = everything(DataSet(data=write(tmp_path / "a.jsonl", rows), mapping=QA, share=0.25))
    other = everything(DataSet(data=write(tmp_path / "b.jsonl", rows[::-1]), mapping=QA, share=0.25))
    assert len(one["heldout"]) == 50
    assert {p.question for p in one["heldout"]} == {p.question for p in other["heldout"]}
    more = everything(DataSet(data=write(tmp_path / "c.jsonl", sums(220)), mapping=QA, share=0.25))
    stay = {p.question for p in one["heldout"]} & {p.question for p in more["heldout"]}
    assert len(stay) >= 45, "twenty new rows move few questions across"


def test_the_same_question_never_stands_on_both_sides(tmp_path):
    problems = everything(DataSet(data=write(tmp_path / "a.jsonl", sums(20) * 5), mapping=QA, share=0.5))
    train, heldout = ({p.question for p in problems[split]} for split in ("train", "heldout"))
    assert not train & heldout
    assert len(train) == len(heldout) == 10
    assert len(problems["train"]) == 50


def test_small_data_keeps_both_splits_where_it_can(tmp_path):
    two = DataSet(data=write(tmp_path / "a.jsonl", sums(2)), mapping=QA)
    assert (two.size("train"), two.size("heldout")) == (1, 1)
    one = DataSet(data=write(tmp_path / "b.jsonl", sums(1)), mapping=QA)
    assert (one.size("train"), one.size("heldout")) == (1, 0)


def test_held_out_rows_from_a_file_of_their_own_or_a_field(tmp_path):
    data, test = write(tmp_path / "train.jsonl", sums(6)), write(tmp_path / "test.jsonl", sums(8)[5:])
    problems = everything(DataSet(data=data, mapping=QA, heldout_data=test))
    assert [p.question for p in problems["heldout"]] == ["5+1", "6+1", "7+1"]
    assert [p.question for p in problems["train"]] == [f"{i}+1" for i in range(5)], "5+1 is held out"
    rows = [
        row | {"split": split} for row, split in zip(sums(4), ["train", "Test", "train", "validation"], strict=True)
    ]
    problems = everything(DataSet(data=write(tmp_path / "f.jsonl", rows), mapping=QA, heldout_field="split"))
    assert [p.question for p in problems["heldout"]] == ["1+1", "3+1"]
    with pytest.raises(ValidationError, match="not both"):
        DataSet(data=data, mapping=QA, heldout_data=test, heldout_field="split")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*sums(1), '{"q": 1'], r"d.jsonl, line 2: not valid JSON"),
        ([*sums(1), "7"], r"d.jsonl, line 2: expected an object"),
        ([{"q": "x", "answr": "5"}], r"d.jsonl, line 1: the field 'a' is missing. .*Known: answr, q"),
        ([{"q": "x", "a": None}], r"d.jsonl, line 1: the field 'a' is empty"),
        ([], r"d.jsonl has no rows"),
        (["", ""], r"d.jsonl has no rows"),
    ],
)
def test_broken_files_are_one_clear_error(tmp_path, rows, message):
    task = DataSet(data=write(tmp_path / "d.jsonl", rows), mapping=QA)
    with pytest.raises(TaskError, match=message):
        task.size("train")


def test_bad_settings(tmp_path):
    with pytest.raises(TaskError, match="There is no file"):
        DataSet(data=str(tmp_path / "absent.jsonl"), mapping="gsm8k").size("train")
    with pytest.raises(ValidationError, match="Did you mean 'gsm8k'"):
        DataSet(data="x.jsonl", mapping="gsm8")
    with pytest.raises(ValidationError, match="not a regular expression"):
        DataSet(data="x.jsonl", mapping=QA | {"pattern": "("})
    with pytest.raises(ValidationError):
        DataSet(data="x.jsonl", mapping=QA | {"anser": "x"})
    task = DataSet(data=write(tmp_path / "d.jsonl", sums(3)), mapping=QA)
    with pytest.raises(TaskError, match="no split 'test'"):
        task.size("test")
    with pytest.raises(TaskError, match=r"0 to 1, got 9"):
        task.problem("train", 9)
    with pytest.raises(TaskError, match="does not match the pattern"):
        DataSet(data=task.data, mapping=QA | {"pattern": "####(.*)"}).size("train")
    same = [{"q": str(i), "a": text} for i, text in enumerate(["0.5", "1/2", "\\frac{1}{2}"])]
    equal = DataSet(data=write(tmp_path / "e.jsonl", same), mapping=QA)
    with pytest.raises(TaskError, match="no other row"):
        equal.corrupt(equal.problem("train", 0), Key.root(0))


def test_it_judges_by_value_and_survives_a_hostile_answer(tmp_path):
    task = DataSet(data=write(tmp_path / "d.jsonl", sums(3)), mapping=QA)
    problem = task.problem("train", 0)
    assert task.verify(f"<think>x</think>{problem.reference}.0", problem).outcome == "right"
    assert task.verify("10^{10^{10}}", problem).outcome == "timeout"


def test_hosted_data_sets(monkeypatch):
    calls = []

    def load_dataset(name, subset, split):
        calls.append((name, subset, split))
        if name == "gone/away":
            raise ConnectionError("no network")
        return sums(3) if split == "train" else sums(5)[3:]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    problems = everything(DataSet(data="owner/name", mapping=QA, subset="main", heldout_data="test"))
    assert calls == [("owner/name", "main", "train"), ("owner/name", "main", "test")]
    assert [p.id for p in problems["heldout"]] == ["name/heldout/0", "name/heldout/1"]
    with pytest.raises(TaskError, match=r"gone/away.*no network"):
        DataSet(data="gone/away", mapping=QA).size("train")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TaskError, match=r"pip install 'strop\[data\]'"):
        DataSet(data="owner/name", mapping=QA).size("train")
