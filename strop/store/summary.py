"""What a finished run comes to: the numbers of `strop run --json`, and a few problems before and after."""

from typing import Any

from strop.store.run import Run


def summary(run: Run) -> dict[str, Any]:
    """Held-out accuracy before and after, and where the time went.

    `seconds` are those of the training steps, without held-out measurements and saving; `tokens_per_s` are tokens the
    policy wrote per second of training, generating, judging and learning together; `time_split` are shares of
    `seconds`.
    """
    rows = {
        (row["step"], row["name"]): row["value"]
        for row in run.query("SELECT step, name, value FROM metrics ORDER BY step").to_pylist()
    }

    def total(name: str) -> float:
        return float(sum(value for (_, found), value in rows.items() if found == name))

    heldout = sorted((step, value) for (step, name), value in rows.items() if name == "accuracy/heldout")
    counts = [value for (_, name), value in rows.items() if name == "accuracy/heldout_n"]
    seconds = total("time/step")
    return {
        "run": str(run.path),
        "heldout_before": heldout[0][1] if heldout else None,
        "heldout_after": heldout[-1][1] if heldout else None,
        "heldout_n": int(max(counts, default=0)),
        "seconds": seconds,
        "tokens_per_s": total("tokens/written") / seconds if seconds else 0.0,
        "time_split": {p: total(f"time/{p}") / seconds if seconds else 0.0 for p in ("generate", "verify", "learn")},
    }


def before_and_after(run: Run, problems: int = 3) -> str:
    """The answers to the first held-out problems before the first and after the last step."""
    rows = run.query(
        """
        SELECT step, problem_id, question, reference, response, outcome FROM rollouts
        WHERE split = 'heldout'
          AND step IN (SELECT unnest([min(step), max(step)]) FROM rollouts WHERE split = 'heldout')
        ORDER BY step, "group"
        """
    ).to_pylist()
    chosen = list(dict.fromkeys(row["problem_id"] for row in rows))[:problems]
    lines: list[str] = []
    for name in chosen:
        mine = [row for row in rows if row["problem_id"] == name]
        lines.append(f"{mine[0]['question']}   (reference {mine[0]['reference']})")
        for row, when in zip(mine, ("before", "after "), strict=False):
            lines.append(f"  {when} {row['outcome']:<10} {row['response']}")
    return "\n".join(lines) + "\n"
