"""Rollouts that others made: JSONL or Parquet, one attempt in each row.

| field | needed | meaning |
|---|---|---|
| `problem_id` | yes | attempts with the same one belong together |
| `sample` | yes | which attempt at the problem, from 0 |
| `response` | yes | what was written |
| `checkpoint` | | which weights wrote it; a problem has a group for each |
| `reference` | | what the answer is compared with |
| `correct` | | true or false: the verdict right or wrong |
| `answer` | | the answer as its maker read it; counted where there is a `correct` |
| `score` | | a number to rank attempts by: becomes the reward |
| `tokens` | | how many tokens were written, or their ids |

Other fields are ignored, except those that strop's own rollouts have: `question`, `task`, `difficulty`, `finish`,
`outcome` (instead of `correct`) and `reward` (instead of `score`, which is there 1 or 0). A run folder reads as all its
rollouts.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np

from strop.errors import StoreError, did_you_mean
from strop.records import Group, Outcome, Problem, Trajectory, Turn, Verdict
from strop.rows import Row, read_rows

NEEDED = ("problem_id", "sample", "response")
OPTIONAL = ("checkpoint", "answer", "reference", "correct", "score", "tokens")
_OUTCOMES: tuple[str, ...] = get_args(Outcome)


def read_rollouts(path: str | Path, split: str = "") -> list[Group]:
    """The groups of a file or of a run folder: problems and checkpoints as they first come, samples in order.

    Of a run folder `split` takes `train` or `heldout` only; other files know no splits.

    Raises `StoreError` naming the file and the line (JSONL) or row (Parquet) of the first thing that is wrong.
    """
    path = Path(path).expanduser()
    found: dict[tuple[str, str, str], dict[int, Trajectory]] = {}
    problems: dict[str, Problem] = {}
    count = 0
    for count, (where, row) in enumerate(_rows(path, split), start=1):  # noqa: B007
        attempt = _attempt(row, where)
        problem = problems.setdefault(attempt.problem.id, attempt.problem)
        if attempt.problem.reference != problem.reference:
            raise StoreError(
                f"{where}: `reference` of problem {problem.id!r} is {attempt.problem.reference!r}, "
                f"and was {problem.reference!r} in an earlier row."
            )
        # strop's own runs may try a problem again, at another step or in another group
        again = "/".join(str(row.get(name)) for name in ("step", "split", "group")) if "outcome" in row else ""
        group = found.setdefault((problem.id, attempt.checkpoint, again), {})
        if attempt.sample in group:
            of = f" of checkpoint {attempt.checkpoint!r}" if attempt.checkpoint else ""
            raise StoreError(f"{where}: sample {attempt.sample} of problem {problem.id!r}{of} is there twice.")
        group[attempt.sample] = attempt
    if not count:
        raise StoreError(f"{path} holds no rollouts; expected one attempt in each row with {', '.join(NEEDED)}.")
    return [
        Group(problems[name], tuple(group[sample] for sample in sorted(group))) for (name, _, _), group in found.items()
    ]


def _rows(path: Path, split: str) -> Iterator[tuple[str, Row]]:
    if not path.is_dir():
        yield from read_rows(path, StoreError)
        return
    files = sorted(path.glob(f"rollouts/step=*/{split or '*'}.parquet")) or sorted(path.glob("*.parquet"))
    if not files:
        raise StoreError(f"{path} is a folder without rollouts: give a JSONL or Parquet file, or a run folder.")
    for file in files:
        yield from read_rows(file, StoreError)


def _attempt(row: Row, where: str) -> Trajectory:
    for name in NEEDED:
        if row.get(name) is None:
            hint = "" if name in row else f" {did_you_mean(name, row)}"
            raise StoreError(f"{where}: `{name}` is missing.{hint}")
    sample = row["sample"]
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 0:
        raise StoreError(f"{where}: `sample` must be a whole number from 0, got {sample!r}.")
    response = _text(row, "response", where)
    question = str(row.get("question") or "")
    problem = Problem(
        id=str(row["problem_id"]),
        task=str(row.get("task") or ""),
        prompt=(Turn("user", question),) if question else (),
        reference=row.get("reference"),
        difficulty=row["difficulty"] if isinstance(row.get("difficulty"), int) else 0,
    )
    tokens, mask = _tokens(row.get("tokens"), where)
    return Trajectory(
        problem=problem,
        sample=sample,
        text=response,
        finish="length" if row.get("finish") == "length" else "stop",
        tokens=tokens,
        mask=mask,
        verdict=_verdict(row, where),
        reward=_number(row, "reward" if "outcome" in row else "score", where),
        checkpoint="" if row.get("checkpoint") is None else str(row["checkpoint"]),
    )


def _verdict(row: Row, where: str) -> Verdict | None:
    answer = None if row.get("answer") is None else str(row["answer"])
    outcome, correct = row.get("outcome"), row.get("correct")
    if outcome is not None:
        if outcome not in _OUTCOMES:
            raise StoreError(f"{where}: `outcome` must be one of {', '.join(_OUTCOMES)}, got {outcome!r}.")
        return Verdict(outcome, answer=answer, detail=str(row.get("detail") or ""))
    if correct is None:
        return None
    if correct not in (0, 1) or isinstance(correct, str):
        raise StoreError(f"{where}: `correct` must be true or false, got {correct!r}.")
    return Verdict("right" if correct else "wrong", answer=answer)


def _tokens(tokens: Any, where: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Token ids and mask: of a plain count only the mask is known, and it is all that lengths need."""
    if tokens is None:
        return None, None
    if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 2**31:
        return None, np.ones(tokens, dtype=bool)
    if isinstance(tokens, Iterable) and not isinstance(tokens, str):
        ids = list(tokens)
        if all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < 2**31 for i in ids):
            return np.array(ids, dtype=np.int32), None
    raise StoreError(f"{where}: `tokens` must be a number of tokens or a list of token ids, got {str(tokens)[:60]!r}.")


def _number(row: Row, name: str, where: str) -> float:
    value = row.get(name)
    if value is None:
        return 0.0
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise StoreError(f"{where}: `{name}` must be a finite number, got {value!r}.")
    return float(value)


def _text(row: Row, name: str, where: str) -> str:
    if not isinstance(row[name], str):
        raise StoreError(f"{where}: `{name}` must be text, got {row[name]!r}.")
    return row[name]
