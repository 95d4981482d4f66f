"""`strop compare` and `strop study` as typed: plans, errors, what is printed and written."""

import json

import pytest
import typer.testing
from study_runs import answers, recipe, study, write

from strop import catalogue, systems
from strop.cli import study_commands
from strop.cli.main import app
from strop.cli.study_progress import Live, Pace, Plain, overall
from strop.errors import ConfigError
from strop.study.conduct import Failure, jobs
from strop.study.records import Study

RUNNER = typer.testing.CliRunner()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def strop(*arguments, code=0):
    done = RUNNER.invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def last_json(text):
    return json.loads(text.splitlines()[-1])


def arms(plan):
    return {arm["name"]: arm for arm in plan["arms"]}


def test_a_recipe_alone_meets_its_baseline():
    plan = last_json(strop("compare", "dapo", "--steps", "10", "--dry-run", "--json"))
    assert list(arms(plan)) == ["dapo", "grpo"]
    assert plan["claim"].startswith("Higher held-out accuracy than GRPO")
    assert arms(plan)["grpo"]["changes"] == ["stages.0.steps 100 became 10", "stages.0.minibatches 1 became 4"]
    assert (plan["runs"], plan["finished"], plan["matched_by"]) == (6, 0, "optimiser steps")
    assert plan["seconds"] > 0


def test_arms_have_names_and_settings_of_their_own():
    plan = last_json(strop(
        "compare", "plain=grpo", "wide=grpo", "--set", "stages.0.problems=4", "--arm",
        "wide:stages.0.objective.high=0.28", "--seeds", "5", "--dry-run", "--json",
    ))  # fmt: skip
    assert list(arms(plan)) == ["plain", "wide"]
    assert {arm["attempts"] for arm in plan["arms"]} == {100 * 4 * 8}
    assert plan["runs"] == 10


def test_start_is_the_model_without_training():
    plan = last_json(strop("compare", "grpo", "start", "--task", "countdown", "--dry-run", "--json"))
    assert {name: arm["loop_steps"] for name, arm in arms(plan).items()} == {"grpo": 100, "start": 0}
    assert plan["study"] == "grpo-vs-start-countdown"


def test_a_plan_is_printed_for_people():
    text = strop("compare", "grpo", "--dry-run")
    assert "Matched by sampled tokens" in text
    assert "6 runs" in text


def test_a_users_file_is_an_arm(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nimport strop\n\n"
        "def mine(*, steps=3):\n    return replace(strop.recipes.grpo(steps=steps), name='mine', baseline='grpo')\n"
    )
    plan = last_json(strop("compare", "./mine.py", "--dry-run", "--json"))
    assert list(arms(plan)) == ["mine", "grpo"]
    assert arms(plan)["grpo"]["loop_steps"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "grpoo"), "Did you mean .grpo."),
        (("compare", "sft"), "sft names no baseline .*strop compare sft start"),
        (("compare", "grpo", "grpo"), "Two arms are called grpo.*a=grpo b=grpo"),
        (("compare", "grpo", "--seeds", "0"), "--seeds must be 1 or more"),
        (("compare", "grpo", "--match", "step"), "Did you mean .steps."),
        (("compare", "grpo", "--measure", "acc"), "Unknown measure .acc."),
        (("compare", "grpo", "--measure", "pass@4"), "pass@4 is read from last checkpoints.*--match steps"),
        (("compare", "start"), "compare it with a recipe"),
        (("compare", "grpo", "--arm", "rtf:seed=1"), "no arm .rtf.. Did you mean .rft."),
        (("compare", "grpo", "--arm", "seed=1"), "NAME:path=value"),
        (("compare", "grpo", "--set", "stages.0.objective.high=1"), "Arm rft: .*has no field .high."),
        (("compare", "dapo", "grpo", "--arm", "dapo:task=countdown"), "they differ in the task"),
        (("compare", "grpo", "start", "--write-evidence"), "no claim to write evidence for"),
        (("compare", "pretrain_nano", "sft", "--task", "countdown"), "takes no .task."),
        (("study", "group_siz"), "Did you mean .group_size."),
        (("study", "group_size", "--seeds", "-1"), "--seeds must be 1 or more"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, says, monkeypatch):
    monkeypatch.setattr("strop.study.conduct._start", lambda job: pytest.fail("a run was started"))
    with pytest.raises(ConfigError, match=says) as caught:
        strop(*arguments)
    assert "\n" not in str(caught.value)


def test_outside_a_checkout_there_is_no_evidence_to_write(monkeypatch):
    assets = systems.places()
    installed = systems.Places(assets.rows, None, assets.golden, catalogue.ROOT / "assets" / "evidence")
    monkeypatch.setattr(systems, "places", lambda: installed)
    with pytest.raises(ConfigError, match=r"result\.json of the study's folder"):
        strop("compare", "dapo", "--write-evidence")


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """`finished(made, b=30)` writes every run of a study, so that a command has only to read it."""

    def write_all(made: Study, folder, missing=()):
        def conduct(study, path, watch, workers):
            for job in jobs(study, path):
                if job.name not in missing and not job.finished:
                    right = 30 if job.arm == made.arms[0].name else 20
                    write(job, {0: answers(1, 40), job.recipe.total_steps: answers(right, 40)})
            return [Failure(name, "it broke", f"{name}.log") for name in missing]

        monkeypatch.setattr("strop.study.conduct.conduct", conduct)
        monkeypatch.setattr("strop.study.compare.matched", lambda recipes, subject, match: {
            arm.name: arm.recipe for arm in made.arms
        })  # fmt: skip

    return write_all


def two(*names):
    from dataclasses import replace

    made = study()
    return replace(
        made, arms=tuple(replace(arm, name=n, recipe=recipe(n)) for arm, n in zip(made.arms, names, strict=True))
    )


def test_the_result_is_printed_and_written(tmp_path, finished):
    finished(two("dapo", "grpo"), tmp_path)
    data = last_json(strop("compare", "dapo", "grpo", "--out", "s", "--json", "--quiet"))
    assert data["verdict"] == "reproduced"
    assert data["differences"][0]["mean"] == pytest.approx(0.25)
    assert json.loads((tmp_path / "s" / "result.json").read_text())["arms"] == data["arms"]
    text = strop("compare", "dapo", "grpo", "--out", "s", "--quiet")
    assert "Claim: Higher held-out accuracy" in text
    assert "reproduced: accuracy of dapo - grpo: +25.0" in text
    assert (tmp_path / "s" / "study.html").is_file()


def test_evidence_is_what_strop_show_and_the_level_read(tmp_path, finished, monkeypatch):
    finished(two("dapo", "grpo"), tmp_path)
    places = systems.places()
    here = systems.Places(places.rows, places.tests, places.golden, tmp_path / "evidence")
    monkeypatch.setattr(systems, "places", lambda: here)
    assert "Not measured yet" in strop("show", "dapo")
    strop("compare", "dapo", "grpo", "--out", "s", "--write-evidence", "--quiet")
    assert systems.evidence("dapo")["verdict"] == "reproduced"
    text = " ".join(strop("show", "dapo").split())
    assert "Verdict: reproduced." in text
    assert "+25.0" in text
    assert last_json(strop("show", "dapo", "--json"))["page"]["evidence"]["match"] == "steps"


def test_a_failed_run_is_told_and_keeps_evidence_from_being_written(tmp_path, finished, monkeypatch):
    finished(two("dapo", "grpo"), tmp_path, missing=("dapo/seed-2",))
    places = systems.places()
    here = systems.Places(places.rows, places.tests, places.golden, tmp_path / "evidence")
    monkeypatch.setattr(systems, "places", lambda: here)
    data = last_json(strop("compare", "dapo", "grpo", "--out", "s", "--write-evidence", "--json", "--quiet", code=1))
    assert data["failed"] == [{"run": "dapo/seed-2", "reason": "it broke"}]
    assert data["seeds"] == [0, 1]
    assert data["verdict"] == "too small to tell"
    assert not (tmp_path / "evidence").exists()


def test_a_stopped_study_says_how_to_go_on(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("strop.study.conduct.conduct", stop)
    done = RUNNER.invoke(app, ["compare", "dapo", "--quiet"])
    assert done.exit_code == 130
    assert "The same command goes on" in done.stderr


@pytest.mark.parametrize("name", [entry.name for entry in catalogue.room("recipes")])
def test_every_recipe_can_be_measured_against_its_baseline(name):
    made = catalogue.load(name, "recipes")()
    if not made.baseline:
        return
    plan = last_json(strop("compare", name, "--dry-run", "--json"))
    assert plan["claim"] == made.claim
    key = {"optimiser steps": "steps", "training responses": "data"}.get(plan["matched_by"], "attempts")
    totals = [arm[key] for arm in plan["arms"] if arm["loop_steps"]]
    assert max(totals) <= 1.1 * min(totals)


def test_every_study_can_be_planned():
    for entry in catalogue.room("studies"):
        plan = last_json(strop("study", entry.name, "--seeds", "1", "--dry-run", "--json"))
        assert len(plan["arms"]) >= 2
        assert plan["runs"] == len({arm["owner"] for arm in plan["arms"]})


def test_group_size_spreads_the_same_attempts():
    from strop.studies.group_size import group_size

    made = group_size(seeds=1, steps=2)
    assert {arm.recipe.stages[0].problems * arm.recipe.stages[0].samples for arm in made.arms} == {256}
    assert list(made.read({arm.name: 0.0 for arm in made.arms})) == [f"samples-{n} - samples-8" for n in (2, 4, 16, 32)]


def test_the_time_left_follows_the_pace_of_each_arm(tmp_path, monkeypatch):
    now, step = [0.0], {"a/seed-0": 0, "b/seed-0": 0}
    every = jobs(study(seeds=2, steps=10), tmp_path)
    monkeypatch.setattr("strop.study.conduct.Job.step", property(lambda job: step.get(job.name, 0)))
    pace = Pace(lambda: now[0])
    pace.start(every, 0, workers=2)
    for job in every[:2]:
        pace.began(job)
    assert pace.seconds(every[:2]) is None
    now[0], step = 20.0, {"a/seed-0": 10, "b/seed-0": 5}
    # a takes 2 s a step and b 4: b has 5 to go, and the second seed 10 of each
    assert pace.seconds(every[:2]) == pytest.approx((5 * 4 + 10 * 2 + 10 * 4) / 2)
    assert overall(pace, every[:2]) == "0 of 4 runs done, about 40 s left"


def test_the_lines_of_a_terminal_name_each_running_arm(tmp_path):
    import io

    from rich.console import Console

    every = jobs(study(seeds=1), tmp_path)
    for job in every:
        job.log.parent.mkdir(parents=True)
        job.log.write_text(f"begun\nstep 2/4  held-out 5{job.arm}.0%\x1b[2J\n")
    live = Live(io.StringIO())
    live.console = Console(file=io.StringIO(), width=60)
    live._pace.start(every, 0, 2)
    for job in every:
        live.began(job)
    live.look(every)
    live.console.print(live.render())
    lines = live.console.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["a/seed-0", "b/seed-0", "0 of 2 runs done"]
    assert "\x1b" not in lines[0]


def test_plain_lines_tell_beginning_and_end(tmp_path):
    import io

    stream = io.StringIO()
    plain = Plain(stream, every=0.0)
    job = jobs(study(seeds=1), tmp_path)[0]
    plain.start([job], 3, 2)
    plain.began(job)
    plain.look([job])
    plain.ended(job, 61.0, Failure(job.name, "it broke", "x.log"))
    plain.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "1 runs, 2 at a time, 3 finished before"
    assert lines[1].startswith("a/seed-0: began, log ")
    assert lines[-1] == "a/seed-0: failed after 1 min 01 s: it broke; see x.log (3 of 4)"


def test_the_table_of_commands_has_both():
    assert {"compare", "study"} <= {command.callback.__name__ for command in app.registered_commands}
    assert study_commands.Settings
