"""Traces of several writers, by prompt."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strop.errors import TaskError
from strop.keys import Key
from strop.records import Group, Problem, Trajectory, Turn, Verdict
from strop.rows import Row, read_rows
from strop.tasks import STYLES


def gather(task: Any, sources: Mapping[str, str], prompts: int, key: Key) -> list[Group]:
    """Every trace there is: the rows of files, and what the task writes in a style, for the same prompts."""
    files = {name: source for name, source in sources.items() if source not in STYLES}
    problems: dict[str, Problem] = {}
    found: dict[str, list[Trajectory]] = {}
    for name, source in files.items():
        for where, row in read_rows(Path(source).expanduser(), TaskError):
            label = str(row.get("problem_id") or "")
            if label not in problems:
                problems[label] = _problem(task, row, label, where)
            found.setdefault(label, []).append(_trace(row, where, name, problems[label]))
    if not files:
        problems = {problem.id: problem for problem in (task.problem("train", i) for i in range(prompts))}
    for name, style in sources.items():
        for label, problem in problems.items() if name not in files else ():
            text = task.write(problem, style, key.fold(name, label)) or ""
            found.setdefault(label, []).append(Trajectory(problem=problem, sample=0, text=text, checkpoint=name))
    return [Group(problems[label], tuple(each)) for label, each in found.items()]


def _problem(task: Any, row: Row, label: str, where: str) -> Problem:
    """The problem of a row: the task's own where its id says so."""
    index = re.fullmatch(rf"{re.escape(task.name)}/train/([0-9]{{1,9}})", label)
    rows = task.size("train")
    if index and (rows is None or int(index[1]) < rows):
        return task.problem("train", int(index[1]))
    if not label or not isinstance(row.get("question"), str) or row.get("reference") is None:
        raise TaskError(
            f"{where}: {label or 'a row without problem_id'!r} is no training problem of {task.name}; then "
            "`problem_id`, `question` and `reference` must be there."
        )
    return Problem(id=label, task=task.name, prompt=(Turn("user", row["question"]),), reference=row["reference"])


def _trace(row: Row, where: str, source: str, problem: Problem) -> Trajectory:
    text, correct, tokens = row.get("response"), row.get("correct"), row.get("tokens")
    if not isinstance(text, str):
        raise TaskError(f"{where}: `response` must be text, got {text!r}.")
    if correct is not None and (correct not in (0, 1) or isinstance(correct, str)):
        raise TaskError(f"{where}: `correct` must be true or false, got {correct!r}.")
    count = tokens if isinstance(tokens, int) else len(tokens) if isinstance(tokens, list) else None
    return Trajectory(
        problem=problem,
        sample=row["sample"] if isinstance(row.get("sample"), int) else 0,
        text=text,
        finish="length" if row.get("finish") == "length" else "stop",
        mask=None if count is None else np.ones(max(0, count), dtype=bool),
        verdict=None if correct is None else Verdict("right" if correct else "wrong"),
        checkpoint=source,
    )
