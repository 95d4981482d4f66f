"""A run folder with a few small steps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from store_runs import RECIPE, write_steps

from strop.store.writer import RunWriter


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without drawing their page, which takes most of the time; `test_report.py` draws it."""
    monkeypatch.setattr("strop.store.writer.write_report", lambda path: None)


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """`write_run("a", steps=range(1, 5), every=2)`: a run folder, with a checkpoint after each `every` steps."""

    def write(name: str = "run", steps: Sequence[int] = range(1, 5), every: int = 2, finish: bool = True) -> Path:
        writer = RunWriter.create(tmp_path / name, RECIPE, "strop run grpo")
        write_steps(writer, steps, every)
        if finish:
            writer.finish()
        return writer.path

    return write
