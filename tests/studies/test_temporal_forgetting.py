"""Measures of several checkpoints, arms that read another arm's runs, and the study made of both."""

import json

import pytest
from study_runs import answers, recipe, write

from strop.cli.study_plan import plan
from strop.errors import ConfigError
from strop.studies.temporal_forgetting import temporal_forgetting
from strop.study import temporal
from strop.study.conduct import jobs
from strop.study.measures import draws, named, prepared
from strop.study.page import write_page
from strop.study.records import Arm, Study, over, wanted
from strop.study.result import read


def rollouts(path, table):
    """{problem: {checkpoint: answers}}; an answer of 5 is right."""
    rows = [
        {"problem_id": p, "sample": i, "response": a, "answer": a, "correct": a == "5", "checkpoint": name}
        for p, each in table.items()
        for name, said in each.items()
        for i, a in enumerate(said)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def study(**fields):
    """`turns` and `best` read the runs of `final`."""
    arms = [
        Arm(name=name, recipe=recipe("a"), run=run, reads={"pass@2|1": f"pass@2|{way}"})
        for name, run, way in (("final", "", "1"), ("turns", "final", "2"), ("best", "final", "best"))
    ]
    given = {"measures": ("pass@2|1", "forgetting"), "read": over("final"), "name": "t", "arms": tuple(arms)}
    readers = {"forgetting": lambda tables: {"forgotten": tables["final"]}}
    return Study(**(given | {"readers": readers, "match": "steps"} | fields))


def finish(folder, made):
    for job in jobs(made, folder):
        write(job, {0: answers(1, 2), 4: answers(1, 2)})
        table = {"a": {"step=000000": "55", "step=000004": "56"}, "b": {"step=000000": "55", "step=000004": "66"}}
        rollouts(job.run / "checkpoints-2.jsonl", table)
        rollouts(job.run / "checkpoints-greedy.jsonl", {p: {n: a[1] for n, a in e.items()} for p, e in table.items()})


def test_only_arms_that_train_have_jobs_and_these_prepare_for_all_their_readers(tmp_path):
    made = study()
    every = jobs(made, tmp_path)
    assert [job.name for job in every] == ["final/seed-0", "final/seed-1", "final/seed-2"]
    assert every[0].measures == ("pass@2|1", "pass@2|2", "pass@2|best", "forgetting")
    assert wanted(study(probes=("rank_shift",)), "final", 0)[-1] == "probe:rank_shift"
    assert "probe:rank_shift" not in wanted(study(probes=("rank_shift",)), "final", 1)
    assert plan(made, tmp_path, 1)["runs"] == 3


def test_each_arm_reads_its_own_way_of_answering(tmp_path):
    made = study()
    finish(tmp_path, made)
    result = read(made, tmp_path).to_data()
    assert [arm["owner"] for arm in result["arms"]] == ["final"] * 3
    # final: a 1, b 0; in turns one of each: a 1, b 1; best: step 0 is right on both
    measured = {arm["name"]: arm["runs"][0]["measures"]["pass@2|1"] for arm in result["arms"]}
    assert measured == {"final": 0.5, "turns": 1.0, "best": 1.0}
    found = {each["label"]: each["mean"] for each in result["differences"]}
    assert found == {"turns - final": 0.5, "best - final": 0.5, "forgotten": 1.0}
    assert write_page(made, result, tmp_path).is_file()


def test_a_run_is_finished_when_its_checkpoints_are_sampled(tmp_path):
    made = study()
    job = jobs(made, tmp_path)[0]
    write(job, {0: answers(1, 2), 4: answers(1, 2)})
    assert not job.finished
    finish(tmp_path / "other", made)
    assert jobs(made, tmp_path / "other")[0].finished


def test_an_arm_reads_the_runs_of_an_arm_that_trains():
    arms = (Arm(name="a", recipe=recipe("a")), Arm(name="b", recipe=recipe("a"), run="c"))
    with pytest.raises(ConfigError, match="b reads the runs of c, which is no arm that trains"):
        study(arms=arms)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pass@64|8", "checkpoints-64.jsonl"),
        ("majority@64", "checkpoints-64.jsonl"),
        ("pass@64|best", "checkpoints-64.jsonl"),
        ("pass@64|1~1.3", "checkpoints-64-last-1.3.jsonl"),
        ("ever_correct", "checkpoints-greedy.jsonl"),
    ],
)
def test_names_say_which_rollouts_they_need(name, file, tmp_path):
    assert temporal.parse(name).file(tmp_path) == tmp_path / file
    assert draws(name) is None
    assert not prepared(name, tmp_path)
    (tmp_path / file).touch()
    assert prepared(name, tmp_path)
    named(name)


@pytest.mark.parametrize("name", ["pass@0|8", "pass@64|0", "pass@64|2~1.3", "pass@2000|8"])
def test_a_name_that_makes_no_sense_is_refused(name):
    with pytest.raises(ConfigError, match="expected a budget from 1 to 1024"):
        named(name)


def test_the_study_trains_once_and_keeps_its_checkpoints(tmp_path):
    made = temporal_forgetting(steps=20, checkpoints=4, budget=8, problems=16)
    every = jobs(made, tmp_path)
    assert {job.arm for job in every} == {"final"}
    assert (every[0].recipe.checkpoint_every, every[0].recipe.keep, every[0].recipe.total_steps) == (5, 0, 20)
    ways = {arm.name: arm.reads["pass@8"].partition("|")[2] for arm in made.arms}
    assert ways == {
        "final": "1",
        "last-4": "4",
        "last-2": "2",
        "best": "best",
        "warm-1.1": "1~1.1",
        "warm-1.3": "1~1.3",
    }
    assert "pass@8" not in every[0].measures, "nothing is drawn that no arm reads"
    assert made.direction == "higher"
    with pytest.raises(ConfigError, match="checkpoints must be from 2 to the number of steps, 3"):
        temporal_forgetting(steps=3, checkpoints=8)
