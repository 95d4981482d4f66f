"""A run read back: by name, lazily, and in words."""

import subprocess
import sys
from pathlib import Path

import pytest
from store_runs import RECIPE

from strop.errors import StoreError
from strop.store.run import Run


def test_what_a_run_gives(write_run):
    run = Run.open(write_run(steps=range(1, 6), every=2))
    assert run.recipe == RECIPE
    assert run.command == "strop run grpo"
    assert run.commit
    assert run.checkpoints == [2, 4]
    assert run.metrics["step"].to_pylist() == [1, 2, 3, 4, 5]
    assert run.metrics["accuracy/heldout"].to_pylist() == [None, 0.5, None, 0.5, None]
    assert run.rollouts.num_rows == 5 * 6 + 2 * 2
    assert run.errors.to_pylist() == [
        {"step": 3, "boundary": "verifier", "kind": "TimeoutError", "message": "took 5 s",
         "problem_id": "arithmetic/train/1", "sample": 2}
    ]  # fmt: skip
    assert run.query("SELECT max(step) AS last FROM tokens").to_pylist() == [{"last": 5}]


def test_checkpoint_folders(write_run):
    run = Run.open(write_run())
    assert run.checkpoint() == run.checkpoint(4) == run.checkpoint("4") == run.path / "checkpoints" / "step=000004"
    assert run.checkpoint(2).name == "step=000002"
    for wrong in (3, "best", -4, "²"):
        with pytest.raises(StoreError, match=r"no checkpoint .* Known: last, 2, 4"):
            run.checkpoint(wrong)
    with pytest.raises(StoreError, match=r"has no checkpoint yet. Next: strop resume"):
        Run.open(write_run("other", [1])).checkpoint()


def test_model_is_loaded_from_the_checkpoint(write_run, monkeypatch: pytest.MonkeyPatch):
    from strop.models import language_model

    run = Run.open(write_run())
    monkeypatch.setattr(language_model, "load", lambda path, precision, quantised: (path, precision, quantised))
    assert run.model() == (run.path / "checkpoints" / "step=000004", "fp32", None)
    folder = run.path / "checkpoints" / "step=000002"
    assert run.model(2, "layercast", quantised="int8") == (folder, "layercast", "int8")


def test_in_words(write_run):
    run = Run.open(write_run())
    text = repr(run)
    assert text.startswith(f"Run('{run.path}': grpo, step 4 of 4; reward/mean 0.1 -> 0.4; accuracy/heldout 0.5 -> 0.5")
    assert text.endswith("2 checkpoints, 6 rollout files)")


def test_html_is_escaped(write_run):
    path = write_run("<img src=x>")
    recipe = (path / "recipe.json").read_text().replace('"grpo"', '"<script>alert(1)</script>"')
    (path / "recipe.json").write_text(recipe)
    page = Run.open(path)._repr_html_()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_folder_that_is_no_run(tmp_path: Path):
    with pytest.raises(StoreError, match=r"holds no run .*Next: strop run RECIPE"):
        Run.open(tmp_path)


def test_the_store_loads_no_torch(write_run):
    """Neither its import nor reading a run: `strop view` and `strop query` stay light."""
    path = write_run(steps=[1])
    code = (
        "import sys; import strop.store.writer, strop.store.checkpoint, strop.store.report, strop.store.query;"
        "heavy = {'torch', 'transformers', 'pyarrow', 'duckdb', 'plotly', 'jinja2'} & set(sys.modules);"
        "assert not heavy, heavy;"
        f"from strop.store.run import Run; repr(Run.open({str(path)!r})); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
