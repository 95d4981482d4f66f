"""The arms of the study of missed answers: they differ in the verifier and in nothing else."""

from dataclasses import replace

from strop.keys import Key
from strop.piece import dump
from strop.recipe import from_data
from strop.studies.tinyv import tinyv
from strop.study.match import differences
from strop.study.measures import named
from strop.verifiers import rule_of
from strop.verifiers.exact import Exact


def test_arms_differ_in_the_verifier_alone():
    study = tinyv(seeds=4, steps=40, share=0.5)
    arms = {arm.name: arm.recipe for arm in study.arms}
    assert list(arms) == ["rule", "cascade", "task", "invented"]
    assert study.seeds == (0, 1, 2, 3)
    for recipe in arms.values():
        found = differences(dump(arms["rule"]), dump(recipe))
        assert all(path.startswith("stages.0.verifier") for path, *_ in found), found
        assert from_data(dump(recipe)) == recipe
        assert recipe.task.share == 0.5
        assert recipe.heldout.every == 2
    assert all(named(name) for name in study.measures)


def test_the_first_difference_is_the_cascades_gain_over_the_rule():
    study = tinyv()
    tables = {arm.name: i for i, arm in enumerate(study.arms)}
    assert next(iter(study.read(tables).items())) == ("cascade - rule", 1)
    assert study.direction == "higher"


def test_verdicts_of_the_arms_on_right_and_wrong_answers():
    study = tinyv(share=0.6)
    recipes = {arm.name: arm.recipe for arm in study.arms}
    task = recipes["rule"].task
    problems = [task.problem("train", index) for index in range(400)]
    right = [task.write(problem, "short", Key.root(0)) for problem in problems]
    wrong = [task.corrupt(problem, Key.root(0)) for problem in problems]

    def accepted(name, texts):
        judge = rule_of(recipes[name].stages[0].verifier or task)
        return sum(judge(text, problem).score for text, problem in zip(texts, problems, strict=True)) / 400

    assert accepted("task", right) == 1
    assert accepted("task", wrong) == 0
    assert 0.33 < accepted("rule", right) < 0.47  # 0.4 with three standard errors
    assert accepted("rule", wrong) == 0
    assert accepted("invented", right) == 1
    assert 0.02 < accepted("invented", wrong) < 0.085
    assert recipes["cascade"].stages[0].verifier.rule == Exact()


def test_another_share_and_judge():
    study = tinyv(share=0.0, judge="runs/mine", target=70)
    verifier = next(arm.recipe.stages[0].verifier for arm in study.arms if arm.name == "cascade")
    assert verifier == replace(verifier, judge=replace(verifier.judge, model="runs/mine"))
    assert "steps_to@70" in study.measures
    assert study.arms[0].recipe.task.share == 0
