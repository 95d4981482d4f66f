"""Measures of the rewards themselves: recomputed from attempts whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from study_runs import answers, attempts, recipe

from strop.errors import ConfigError
from strop.piece import dump
from strop.records import Group, Trajectory, Verdict
from strop.store.run import Run
from strop.store.writer import RunWriter
from strop.study.measures import named
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.other_forms import OtherForms

TASK = OtherForms(task=Arithmetic(), share=1.0)


def group(index, said, origin="policy"):
    """Attempts at a problem, each as (is its answer right, what the stage's verifier said)."""
    problem = TASK.problem("train", index)
    rows = []
    for sample, (right, outcome) in enumerate(said):
        answer = problem.data["usual"] if right else str(int(problem.data["usual"]) + 1)
        rows.append(
            Trajectory(
                problem=problem, sample=sample, text=f"<think></think>{answer}", origin=origin,
                tokens=np.zeros(3, np.int32), verdict=Verdict(outcome),
            )
        )  # fmt: skip
    return Group(problem, tuple(rows))


@pytest.fixture
def run(tmp_path):
    made = replace(recipe(steps=2), task=TASK)
    writer = RunWriter.create(tmp_path / "run", dump(made))
    # step 1: two right attempts of which one is missed, and a wrong one that is taken for right
    first = [group(0, [(True, "right"), (True, "wrong"), (False, "right")])]
    # step 2: all missed; and what others wrote does not count
    missed = group(1, [(True, "unparsable"), (True, "wrong"), (False, "wrong")])
    given = group(2, [(True, "right")] * 3, origin="expert")
    train = {1: first, 2: [missed, group(3, [(True, "right")] * 2), given]}
    for step, right in ((0, 1), (1, 2), (2, 4)):
        if step:
            writer.append(step, "rl", "train", train[step], {"loss": 0.0})
        writer.append(step, "heldout", "heldout", attempts("heldout", answers(right, 5)), {})
    writer.checkpoint(2, {}, lambda folder: (folder / "model.safetensors").write_bytes(b""))
    writer.finish()
    return Run.open(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "step", "expected", "unit"),
    [
        ("reward_precision", 1, 1 / 2, "share"),
        ("reward_precision", 2, 3 / 4, "share"),
        ("reward_recall", 1, 1 / 2, "share"),
        ("reward_recall", 2, 3 / 6, "share"),
        ("prompt_efficiency", 1, 1.0, "share"),
        ("prompt_efficiency", 2, 1 / 3, "share"),
        ("steps_to@20", 2, 0.0, "steps"),  # as the model was before the first step
        ("steps_to@40", 2, 1.0, "steps"),
        ("steps_to@50", 2, 1.25, "steps"),  # a quarter of the way from 40 to 80 %
        ("steps_to@90", 2, 2.0, "steps"),  # never
        ("steps_to@50", 1, 1.0, "steps"),  # nor within the first step
    ],
)
def test_measures(run, name, step, expected, unit):
    found = named(name)(run, step)
    assert found.values == {"run": pytest.approx(expected)}
    assert found.unit == unit


def test_without_attempts_there_is_no_number(run):
    for name in ("reward_precision", "reward_recall", "prompt_efficiency"):
        assert math.isnan(named(name)(run, 0).values["run"])


def test_problems_that_cannot_be_made_again_are_named(tmp_path):
    writer = RunWriter.create(tmp_path / "run", dump(replace(recipe(steps=1), task=TASK)))
    writer.append(1, "rl", "train", attempts("train", answers(1, 2)), {"loss": 0.0})
    writer.finish()
    with pytest.raises(ConfigError, match=r"other_forms cannot make its problem 't/train/000\d' again"):
        named("reward_recall")(Run.open(tmp_path / "run"), 1)


@pytest.mark.parametrize("name", ["steps_to@0", "steps_to@101", "steps_to@half", "steps_to@"])
def test_a_level_is_a_percentage(name):
    with pytest.raises(ConfigError, match=r"from 1 to 100, such as steps_to@60; got 'steps_to@"):
        named(name)


def test_a_name_without_a_level_is_helped():
    with pytest.raises(ConfigError, match="Did you mean 'steps_to@60'"):
        named("steps_to")
