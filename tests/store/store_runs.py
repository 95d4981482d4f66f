"""What the store tests write: problems, attempts and steps that depend on their place alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from strop.keys import Key
from strop.records import Group, Problem, Trajectory, Turn, Verdict
from strop.store.writer import RunWriter

RECIPE = {"name": "grpo", "model": "nano", "seed": 7, "stages": [{"name": "rl", "steps": 4}]}


def made_groups(step: int, split: str = "train", problems: int = 2, samples: int = 3, text: str = "") -> list[Group]:
    """Attempts that depend on their place alone, so that writing them twice writes the same."""
    groups = []
    for p in range(problems):
        problem = Problem(
            id=f"arithmetic/{split}/{p}",
            task="arithmetic",
            prompt=(Turn("system", "think briefly"), Turn("user", f"{p}+10")),
            reference=str(p + 10),
            difficulty=p + 1,
        )
        attempts = []
        for s in range(samples):
            rng = Key.root(0).fold(step, split, p, s).rng()
            length = int(rng.integers(3, 9))
            right = s % 2 == 0
            attempts.append(
                Trajectory(
                    problem=problem,
                    sample=s,
                    text=text or f"<think>{p}+10</think>{p + 10 if right else 'x'}",
                    finish="stop" if right else "length",
                    prompt_tokens=np.arange(4),
                    tokens=rng.integers(0, 50, length),
                    mask=None if s else np.arange(length) % 2 == 0,
                    logp=-rng.random(length).astype(np.float32),
                    verdict=Verdict("right", str(p + 10)) if right else Verdict("unparsable", None, "no number"),
                    rewards={"correct": float(right), "length": -length / 100},
                    reward=float(right) - length / 100,
                    advantage=float(rng.normal()),
                    dropped="" if p else "every sample has the same reward",
                )
            )
        groups.append(Group(problem, tuple(attempts)))
    return groups


def made_metrics(step: int) -> dict[str, float]:
    return {"reward/mean": step / 10, "loss": float("nan") if step == 2 else -step / 7, "time/step": 0.1}


def saves_model(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def write_steps(writer: RunWriter, steps: Sequence[int], every: int) -> None:
    for step in steps:
        writer.append(step, "rl", "train", made_groups(step), made_metrics(step))
        if step % 3 == 0:
            writer.error(step, "verifier", "TimeoutError", "took 5 s", "arithmetic/train/1", 2)
        if step % every == 0:
            heldout = made_groups(step, "heldout", samples=1)
            writer.append(step, "rl", "heldout", heldout, {"accuracy/heldout": 0.5})
            writer.checkpoint(step, {"step": step, "memory": np.arange(step)}, saves_model)
