"""What the tests of studies write: runs whose held-out answers and training attempts are given, without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.piece import dump
from strop.recipe import Heldout, Recipe
from strop.recipes.grpo import grpo
from strop.records import Group, Problem, Trajectory, Turn, Verdict
from strop.store.writer import RunWriter
from strop.study.conduct import Job
from strop.study.records import Arm, Study, over


def recipe(name: str = "grpo", steps: int = 4, model: str = "nano", **stage: object) -> Recipe:
    """GRPO of a few small steps, without anything to be decided later."""
    made = grpo(model=model, steps=steps, problems=2, samples=2)
    changes = {"objective": ClipHigher(), "average": TokenMean()} | stage
    return replace(
        made,
        name=name,
        stages=(replace(made.stages[0], **changes),),
        heldout=Heldout(problems=4, quick=4, every=1),
        precision="fp32",
    )


def study(seeds: int = 3, steps: int = 4, **fields: object) -> Study:
    """`b` against `a`."""
    arms = (Arm(name="a", recipe=recipe("a", steps)), Arm(name="b", recipe=recipe("b", steps)))
    values = {"name": "test", "arms": arms, "read": over("a"), "seeds": tuple(range(seeds)), "measures": ("accuracy",)}
    return Study(**(values | fields))


def attempts(split: str, outcomes: Sequence[tuple[str, int]], origin: str = "policy") -> list[Group]:
    """A group of one attempt for each (outcome, tokens); `dropped` attempts never reach the learner."""
    groups = []
    for i, (outcome, tokens) in enumerate(outcomes):
        problem = Problem(id=f"t/{split}/{i:04d}", task="t", prompt=(Turn("user", "?"),), reference="1")
        attempt = Trajectory(
            problem=problem,
            sample=0,
            text="1",
            origin=origin,
            tokens=np.zeros(tokens, np.int32),
            verdict=Verdict("wrong" if outcome == "dropped" else outcome),
            dropped="flat" if outcome == "dropped" else "",
        )
        groups.append(Group(problem, (attempt,)))
    return groups


def write(
    job: Job,
    heldout: Mapping[int, Sequence[tuple[str, int]]],
    train: Mapping[int, Sequence[tuple[str, int]]] | None = None,
    metrics: Mapping[int, Mapping[str, float]] | None = None,
    origin: str = "policy",
) -> None:
    """A finished run: held-out answers by step, training attempts by step, other numbers by step."""
    writer = RunWriter.create(job.run, dump(job.recipe))
    last = job.recipe.total_steps
    for step in range(last + 1):
        if step:
            made = attempts("train", (train or {}).get(step, [("right", 10)]), origin)
            writer.append(step, "rl", "train", made, {"loss": 0.0, **(metrics or {}).get(step, {})})
        if step in heldout:
            right = np.mean([outcome == "right" for outcome, _ in heldout[step]])
            writer.append(step, "heldout", "heldout", attempts("heldout", heldout[step]), {"accuracy/heldout": right})
    if last:
        writer.checkpoint(last, {}, lambda folder: (folder / "model.safetensors").write_bytes(b""))
    writer.finish()


def answers(right: int, of: int, tokens: int = 10) -> list[tuple[str, int]]:
    """The first `right` of the answers are right."""
    return [("right" if i < right else "wrong", tokens) for i in range(of)]


def folder_of(path: Path) -> Path:
    return path / "study"


def finish(job):
    """As if a worker had brought the run to its end."""
    write(job, {0: answers(1, 4), job.recipe.total_steps: answers(1, 4)})


class Watch:
    """Writes down what it is told."""

    def __init__(self):
        self.events, self.most = [], 0

    def start(self, jobs, done, workers):
        self.events.append(("start", len(jobs), done))

    def began(self, job):
        self.events.append(("began", job.name))

    def look(self, running):
        self.most = max(self.most, len(running))

    def ended(self, job, seconds, failure):
        self.events.append(("ended", job.name, failure.reason if failure else ""))

    def message(self, text): ...

    def finish(self):
        self.events.append(("finish",))

    def named(self, kind):
        return [event[1] for event in self.events if event[0] == kind]
