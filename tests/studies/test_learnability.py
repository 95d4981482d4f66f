"""The arms of the study of learnability, and what is read off them."""

import json

import numpy as np
import pytest
import typer.testing

from strop.cli.main import app
from strop.errors import ConfigError
from strop.studies import _learnability
from strop.studies._learnability import reader, ways
from strop.studies.learnability import learnability
from strop.tasks.arithmetic import Arithmetic

SMALL = {"sizes": {"narrow": "nano", "wide": "nano"}, "prompts": 24, "problems": 8, "steps": 10}


def test_every_student_has_every_arm_on_the_same_prompts():
    made = learnability(**SMALL, shares=(0.5,))
    arms = {arm.name: arm for arm in made.arms}
    assert list(arms) == [
        "narrow-short", "narrow-long", "narrow-0.2-long", "narrow-0.5-long", "narrow-long-tokens",
        "wide-short", "wide-long", "wide-0.2-long", "wide-long-tokens",
    ]  # fmt: skip
    prompts = [{t.problem.id for t in arm.recipe.task.traces} for arm in made.arms]
    assert prompts == [prompts[0]] * len(prompts)
    longs = {name: sum(t.checkpoint == "long" for t in arm.recipe.task.traces) for name, arm in arms.items()}
    assert [longs[f"narrow-{name}"] for name in ("short", "long", "0.2-long", "0.5-long")] == [0, 24, 5, 12]


def test_arms_are_equal_in_examples_or_in_tokens():
    arms = {arm.name: arm.recipe for arm in learnability(**SMALL).arms}
    assert {arms[name].total_steps for name in ("narrow-short", "narrow-long", "narrow-0.2-long")} == {10}
    lengths = {
        name: sum(len(t.text) for t in arms[f"narrow-{name}"].task.traces) for name in ("short", "long")
    }  # fmt: skip
    expected = 10 * lengths["short"] / lengths["long"]
    # characters are not tokens, but traces of one task are made of the same ones
    assert arms["narrow-long-tokens"].total_steps == pytest.approx(expected, abs=1)


def test_gaps_are_read_pair_by_pair():
    pairs = [("long", "short")]
    value = {"short": 0.5, "long": 0.3, "0.2-long": 0.6, "long-tokens": 0.1, "0.5-long": 0.4}
    names = ways(["s", "l"], pairs, 0.2, (0.5,))
    tables = {
        name: np.full((1, 1), value[name.partition("-")[2]] + (0.25 if name == "l-long" else 0)) for name in names
    }
    found = {label: float(t[0, 0]) for label, t in reader(["s", "l"], pairs, 0.2, (0.5,))(tables).items()}
    assert found == pytest.approx({
        "gap of s - gap of l, long - short": -0.25,
        "s: long - short": -0.2, "s: long - short, equal tokens": -0.4,
        "s: 0.2 long - long": 0.3, "s: 0.2 long - short": 0.1,
        "l: long - short": 0.05, "l: long - short, equal tokens": -0.4,
        "l: 0.2 long - long": 0.05, "l: 0.2 long - short": 0.1,
        "s: 0.5 long - short": -0.1,
    })  # fmt: skip
    assert next(iter(found)).startswith("gap of s")


def test_traces_of_ones_own_make_a_pair_of_their_own(tmp_path):
    task = Arithmetic()
    for name, thought in (("large", "<think>let me see</think>"), ("small", "<think></think>")):
        rows = [
            {"problem_id": p.id, "sample": 0, "response": f"{thought}{p.reference}"}
            for p in (task.problem("train", i) for i in range(12))
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    teachers = {name: str(tmp_path / f"{name}.jsonl") for name in ("large", "small")} | {"long": "long"}
    made = learnability(**SMALL | {"sizes": {"mine": "nano"}}, teachers=teachers, shares=())
    assert [arm.name for arm in made.arms] == ["mine-small", "mine-large", "mine-0.2-large", "mine-large-tokens"]
    assert made.arms[0].recipe.stages[0].optimizer.lr == 5e-4
    assert made.direction == "", "with one student there is no gap to compare"
    with pytest.raises(ConfigError, match="No pair of teachers is complete"):
        learnability(**SMALL, teachers={"long": "long"})


def test_a_size_that_is_not_shipped_is_the_run_that_made_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (_learnability.bundled("nano"), _learnability.bundled("micro")) == ("nano", "micro")
    (tmp_path / "runs" / "micro").mkdir(parents=True)
    (tmp_path / "runs" / "micro" / "recipe.json").write_text("{}")
    assert _learnability.bundled("micro") == "runs/micro"
    with pytest.raises(ConfigError, match="'huge' is no bundled size"):
        learnability(sizes=["huge"])


def test_arguments_of_a_study_are_set_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = typer.testing.CliRunner().invoke(app, [
        "study", "learnability", "--set", 'sizes={"a": "nano"}', "--set", "prompts=8", "--set", "shares=[]",
        "--set", "heldout.problems=4", "--seeds", "1", "--dry-run", "--json",
    ], catch_exceptions=False)  # fmt: skip
    plan = json.loads(done.stdout.splitlines()[-1])
    assert [arm["name"] for arm in plan["arms"]] == ["a-short", "a-long", "a-0.2-long", "a-long-tokens"]
    assert (plan["runs"], plan["matched_by"]) == (4, "nothing")
