"""Recipes: changed by path, written in full, read back; an option that nothing reads is an error with the nearest
name."""

import json
from dataclasses import replace

import pytest

from strop import catalogue
from strop.errors import ConfigError
from strop.recipe import AdamW, Recipe, from_data, override, task_named, to_json
from strop.recipes.grpo import grpo
from strop.study.compare import START

RECIPES = [entry.name for entry in catalogue.room("recipes")]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_its_file(name: str):
    recipe = catalogue.load(name, "recipes")()
    assert from_data(json.loads(to_json(recipe))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_where_it_comes_from(name: str):
    recipe = catalogue.load(name, "recipes")()
    assert recipe.name.split("_")[0] == name.split("_")[0]
    if recipe.baseline:
        assert recipe.baseline in (*RECIPES, START)
        assert recipe.claim


def test_override_changes_the_field_and_nothing_else():
    before = grpo()
    after = override(before, ["stages.0.objective.high=0.3"])
    assert after.stages[0].objective.high == 0.3
    assert override(after, ["stages.0.objective.high=0.2"]) == before


def test_override_takes_pieces_by_name():
    recipe = override(
        grpo(), ["stages.0.advantage=leave_one_out", "task=countdown", "stages.0.rewards=correctness,format"]
    )
    assert type(recipe.stages[0].advantage).__name__ == "LeaveOneOut"
    assert recipe.task.name == "countdown"
    assert [type(r).__name__ for r in recipe.stages[0].rewards] == ["Correctness", "Format"]


def test_override_takes_a_users_own_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from strop.piece import piece\n\n@piece\nclass Mine:\n    scale: float = 2.0\n")
    recipe = override(grpo(), [f"stages.0.objective={file}:Mine", "stages.0.objective.scale=3"])
    assert recipe.stages[0].objective.scale == 3.0
    assert from_data(json.loads(to_json(recipe))) == recipe


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("stages.0.objective.hihg=1", "Did you mean 'high'"),
        ("stages.0.optimizer.lr=-1", "greater than 0, got -1"),
        ("stages.0.advantage=leave_one_uot", "Did you mean 'leave_one_out'"),
        ("stages.7.steps=1", "index from 0 to 0"),
        ("seed.more=1", "nothing below"),
        ("seed", "path=value"),
        ("stages.0.objective=/nowhere/mine.py:Mine", "no file"),
        ("precision=fp8", "fp8"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(setting: str, says: str):
    with pytest.raises(ConfigError, match=says.replace("'", ".")):
        override(grpo(), [setting])


def test_a_class_that_is_no_piece_is_refused(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text("class Plain:\n    pass\n")
    with pytest.raises(ConfigError, match="is not a piece"):
        override(grpo(), [f"stages.0.objective={file}:Plain"])


def test_unknown_fields_in_a_file_are_refused():
    data = json.loads(to_json(grpo()))
    data["stages"][0]["objective"]["highh"] = 0.3
    with pytest.raises(ConfigError, match=r"stages\.0\.objective: ClipHigher has no field .highh."):
        from_data(data)


def test_learning_rate_follows_warm_up_then_schedule():
    linear = AdamW(lr=2.0, warmup=2, schedule="linear", floor=0.5)
    expected = [1.0, 2.0, 2.0, 1.75, 1.5, 1.25]
    assert [linear.rate(step, 6) for step in range(6)] == pytest.approx(expected)
    assert AdamW(lr=2.0).rate(5, 6) == 2.0


def test_tasks_are_named(tmp_path):
    assert task_named("k_sat").name == "k_sat"
    with pytest.raises(ConfigError, match=r"Did you mean .countdown."):
        task_named("countdwn")


def test_the_library_gives_functions_not_modules():
    import strop
    from strop.recipes import dapo

    assert isinstance(strop.recipes.grpo(steps=1), Recipe)
    assert replace(dapo(steps=1), seed=3).seed == 3
    with pytest.raises(AttributeError, match="nope"):
        _ = strop.recipes.nope


def test_a_run_learns_as_fast_as_the_model_it_began_with(tmp_path):
    for name, began in (("first", "nano"), ("second", str(tmp_path / "first")), ("other", "org/model")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(json.dumps({"model": began}))
    rates = {name: grpo(model=str(tmp_path / name)).stages[0].optimizer.lr for name in ("first", "second", "other")}
    assert rates == {"first": 1e-4, "second": 1e-4, "other": 1e-6}
