"""A run, as `strop.run(...)` returns it and `Run.open(path)` finds it again."""

import functools
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.errors import StoreError
from strop.store import checkpoint, query
from strop.store.files import step_name
from strop.store.parts import parts, read

if TYPE_CHECKING:
    import pyarrow as pa

    from strop.models.language_model import LanguageModel

_SHOWN = ("reward/mean", "accuracy/train", "accuracy/heldout", "length/mean", "loss")


class Run:
    """A run folder. Nothing is read before it is asked for, and everything is read as it is on the disk now."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        query.check_run(self.path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run in `path`."""
        return cls(path)

    @functools.cached_property
    def recipe(self) -> Mapping[str, Any]:
        """The resolved recipe, as it was written when the run began."""
        return json.loads((self.path / "recipe.json").read_text(encoding="utf-8"))

    @property
    def command(self) -> str:
        """What the user typed to begin the run; empty where it is not known."""
        return self._fact("command")

    @property
    def commit(self) -> str:
        """The commit of the sources the run began with, or `unknown`."""
        return self._fact("commit") or "unknown"

    @property
    def metrics(self) -> "pa.Table":
        """One row for each step, one column for each logged number."""
        return query.pivot(read(self.path, "metrics"))

    @property
    def rollouts(self) -> "pa.Table":
        """Every attempt. For a part of a large run, `run.query("SELECT ... FROM rollouts WHERE ...")` reads less."""
        return read(self.path, "rollouts")

    @property
    def errors(self) -> "pa.Table":
        """What went wrong without ending the run."""
        return read(self.path, "errors")

    @property
    def checkpoints(self) -> list[int]:
        """Steps that have a complete checkpoint, ascending."""
        return checkpoint.steps(self.path / "checkpoints")

    def query(self, sql: str) -> "pa.Table":
        """SQL over the views `metrics`, `rollouts`, `tokens` and `errors`."""
        return query.query(self.path, sql)

    def checkpoint(self, step: "int | str" = "last") -> Path:
        """The folder of a checkpoint, which any Hugging Face tool loads: a step, or `last`."""
        known = self.checkpoints
        if not known:
            raise StoreError(f"{self.path} has no checkpoint yet. Next: strop resume {self.path}")
        if step != "last" and (not str(step).isdecimal() or int(step) not in known):
            raise StoreError(f"{self.path} has no checkpoint {step!r}. Known: last, {', '.join(map(str, known))}.")
        return self.path / "checkpoints" / step_name(known[-1] if step == "last" else int(step))

    def model(self, checkpoint: "int | str" = "last") -> "LanguageModel":
        """The model and tokenizer of a checkpoint: a step, or `last`."""
        from strop.models import language_model

        return language_model.load(self.checkpoint(checkpoint))

    def report(self) -> Path:
        """Write `report.html` and say where it is."""
        from strop.store.report import write_report

        return write_report(self.path)

    @property
    def summary(self) -> str:
        """One line: how far it came, and what the numbers that matter did from first to last."""
        return "; ".join(self._facts())

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.summary})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{html.escape(fact)}</li>" for fact in self._facts())
        return f"<div><b>Run</b> <code>{html.escape(str(self.path))}</code><ul>{rows}</ul></div>"

    def _facts(self) -> list[str]:
        """A few lines that say where the run stands; reads the metrics, never the rollouts."""
        metrics = self.metrics
        steps = metrics["step"].to_pylist()
        facts = [f"{self.recipe.get('name', 'run')}, {f'step {steps[-1]}' if steps else 'no step yet'}"]
        for name in _SHOWN:
            if name in metrics.column_names:
                values = [value for value in metrics[name].to_pylist() if value is not None]
                facts.append(f"{name} {values[0]:.4g} -> {values[-1]:.4g}")
        count = len(self.checkpoints)
        facts.append(
            f"{count} checkpoint{'s' if count != 1 else ''}, {len(parts(self.path, 'rollouts'))} rollout files"
        )
        return facts

    def _fact(self, name: str) -> str:
        try:
            text = (self.path / "commit.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return next((line.partition(": ")[2] for line in text.splitlines() if line.startswith(f"{name}: ")), "")
