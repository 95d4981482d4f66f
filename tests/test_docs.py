"""The documentation builds without a warning, and what it shows works."""

import importlib.util
import os
import subprocess
import sys

import pytest

from strop import catalogue
from strop.recipe import override

TOP = catalogue.ROOT.parent
EXAMPLE = TOP / "docs" / "examples" / "mine.py"


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: make docs installs it")
def test_strict_build(tmp_path):
    from strop import systems

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=TOP, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "site"
    rewards = (site / "rooms" / "rewards" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{entry.name}"' in rewards for entry in catalogue.room("rewards"))
    table = (site / "systems" / "index.html").read_text(encoding="utf-8")
    assert all(row.name in table for row in systems.load())
    assert "def train_step" in (site / "map" / "index.html").read_text(encoding="utf-8").replace("</span>", "").replace(
        '<span class="k">', ""
    ).replace('<span class="w">', "").replace('<span class="nf">', "")


def test_the_example_piece_against_a_slow_loop():
    import torch

    from strop.records import Batch, Counts

    mine = catalogue.load(f"{EXAMPLE}:Mine")(boost=3.0)
    logp, advantage = torch.tensor([[-0.5, -2.0]]), torch.tensor([[2.0, -1.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    batch = Batch(
        tokens=mask.long(), mask=mask, advantage=advantage, old_logp=torch.zeros(1, 2), reward=torch.zeros(1),
        group=torch.zeros(1).long(), counts=Counts(2, 1, 1),
    )  # fmt: skip
    pairs = zip(logp[0].tolist(), advantage[0].tolist(), strict=True)
    expected = [[-(3.0 * a if a > 0 else a) * p for p, a in pairs]]
    torch.testing.assert_close(mine(logp, batch), torch.tensor(expected))


def test_the_example_is_used_as_the_page_says():
    from strop.recipes.grpo import grpo

    changed = override(grpo(), [f"stages.0.objective={EXAMPLE}:Mine", "stages.0.objective.boost=1.5"])
    assert type(changed.stages[0].objective).__name__ == "Mine"
    assert changed.stages[0].objective.boost == 1.5
