"""A run, as `strop.run(...)` returns it and `Run.open(path)` finds it again."""

import functools
import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from strop.errors import StoreError
from strop.store import checkpoint, query
from strop.store.files import step_name
from strop.store.parts import parts, read

if TYPE_CHECKING:
    import pyarrow as pa

    from strop.models.language_model import LanguageModel, Weights
    from strop.models.quantise import Quantised

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
    def steps(self) -> int:
        """Steps the recipe asks for, over all stages."""
        return sum(stage.get("steps", 0) for stage in self.recipe.get("stages", ()))

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
        """The folder of a checkpoint, which any Hugging Face tool loads (an adapter's: peft): a step, or `last`."""
        known = self.checkpoints
        if not known:
            raise StoreError(f"{self.path} has no checkpoint yet. Next: strop resume {self.path}")
        if step != "last" and (not str(step).isdecimal() or int(step) not in known):
            raise StoreError(f"{self.path} has no checkpoint {step!r}. Known: last, {', '.join(map(str, known))}.")
        return self.path / "checkpoints" / step_name(known[-1] if step == "last" else int(step))

    def model(
        self,
        checkpoint: "int | str" = "last",
        precision: "Weights" = "fp32",
        *,
        quantised: "Quantised | None" = None,
    ) -> "LanguageModel":
        """The model and tokenizer of a checkpoint: a step, or `last`. An adapter's is its base with the adapter merged
        in. How weights are held is said as to `strop.models.language_model.load`."""
        from strop.models import language_model

        return language_model.load(self.checkpoint(checkpoint), precision, quantised=quantised)

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
        begin, end, files = self._state()
        rows = "".join(
            f"<tr><td>{name}</td><td>{first:.4g}</td><td>{last:.4g}</td></tr>" for name, first, last in self._ends()
        )
        table = f"<table><tr><th></th><th>first</th><th>last</th></tr>{rows}</table>" if rows else ""
        path = html.escape(str(self.path))
        notes = [f"<code>{path}</code>", html.escape(files)]
        if (self.path / "report.html").is_file():
            notes.append(f'<a href="{html.escape(quote(str(self.path / "report.html")))}" target="_blank">report</a>')
        if not end:
            notes.append(f"go on with <code>strop.resume({html.escape(repr(str(self.path)))})</code>")
        return f"<div><b>{html.escape(begin)}</b>{table}{'; '.join(notes)}</div>"

    def _facts(self) -> list[str]:
        """A few lines that say where the run stands; reads the metrics, never the rollouts."""
        begin, _, files = self._state()
        return [begin, *(f"{name} {first:.4g} -> {last:.4g}" for name, first, last in self._ends()), files]

    def _state(self) -> tuple[str, bool, str]:
        """How far it came, whether that is all of it, and what it left on the disk."""
        at = max(self.metrics["step"].to_pylist(), default=0)
        count, written = len(self.checkpoints), len(parts(self.path, "rollouts"))
        files = f"{count} checkpoint{'s' if count != 1 else ''}, {written} rollout files"
        return f"{self.recipe.get('name', 'run')}, step {at} of {self.steps}", at >= self.steps, files

    def _ends(self) -> Iterator[tuple[str, float, float]]:
        """The numbers that matter: name, first value, last value."""
        metrics = self.metrics
        for name in _SHOWN:
            if name in metrics.column_names:
                values = [value for value in metrics[name].to_pylist() if value is not None]
                yield name, values[0], values[-1]

    def _fact(self, name: str) -> str:
        try:
            text = (self.path / "commit.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return next((line.partition(": ")[2] for line in text.splitlines() if line.startswith(f"{name}: ")), "")
