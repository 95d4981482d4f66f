"""Runs of a study: kept, resumed, failed, refused. Short scripts play the workers, except in the last tests."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from study_runs import Watch, finish, recipe, study

from strop.errors import ConfigError, StoreError
from strop.recipe import to_json
from strop.store.query import differences
from strop.study import conduct as conduct_module
from strop.study.conduct import Job, check, conduct, jobs, seconds
from strop.study.records import Arm, over

TINY = [
    "stages.0.problems=2", "stages.0.samples=2", "stages.0.episode.max_tokens=16", "heldout.problems=4",
    "heldout.quick=2", "heldout.every=2", "heldout.episode.max_tokens=16", "precision=fp32", "checkpoint_every=1",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A study without neighbours: the folders of other tests would be some."""
    made = tmp_path / "study"
    made.mkdir()
    return made


@pytest.fixture
def played(monkeypatch):
    """`played(script)` makes a worker of a script that knows `run`, the run folder, and `name`."""
    monkeypatch.setattr(conduct_module, "_POLL", 0.01)

    def play(script):
        def start(job):
            job.run.parent.mkdir(parents=True, exist_ok=True)
            code = f"import sys, time; run, name = {str(job.run)!r}, {job.name!r}\n{script}"
            with open(job.log, "ab") as log:
                return subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)

        monkeypatch.setattr(conduct_module, "_start", start)

    return play


def test_seeds_come_one_after_another_and_no_more_run_than_may(folder, played):
    played("time.sleep(0.05)")
    watch = Watch()
    conduct(study(seeds=2), folder, watch, workers=2)
    assert watch.named("began") == ["a/seed-0", "b/seed-0", "a/seed-1", "b/seed-1"]
    assert watch.most == 2
    assert watch.events[-1] == ("finish",)


def test_finished_runs_are_kept(folder, played):
    made = study(seeds=2)
    every = jobs(made, folder)
    finish(every[0])
    before = every[0].run.stat().st_mtime_ns
    played("pass")
    watch = Watch()
    conduct(made, folder, watch, workers=1)
    assert watch.events[0] == ("start", 3, 1)
    assert "a/seed-0" not in watch.named("began")
    assert every[0].run.stat().st_mtime_ns == before


def test_a_failed_run_is_named_with_its_log_and_the_others_go_on(folder, played):
    played("if name == 'a/seed-0': print('error: it broke'); sys.exit(2)\nif name == 'b/seed-1': sys.exit(7)")
    watch = Watch()
    failures = conduct(study(seeds=2), folder, watch, workers=1)
    assert [(f.run, f.reason) for f in failures] == [("a/seed-0", "it broke"), ("b/seed-1", "exit code 7")]
    assert Path(failures[0].log).read_text() == "error: it broke\n"
    assert len(watch.named("ended")) == 4


def test_a_killed_run_says_by_what(folder, played):
    played("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    failures = conduct(study(seeds=1), folder, Watch(), workers=2)
    assert {failure.reason for failure in failures} == {"killed by SIGKILL (out of memory?)"}


def test_an_interrupt_is_passed_on_once_and_starts_nothing_new(folder, played):
    played(
        "import signal\nsignal.signal(signal.SIGINT, lambda *_: (print('asked', flush=True), sys.exit(75)))\n"
        "print('here', flush=True)\nwhile True: time.sleep(0.01)"
    )
    made = study(seeds=2)
    log = jobs(made, folder)[0].log

    def interrupt():
        deadline = time.monotonic() + 60
        while not (log.is_file() and "here" in log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    watch = Watch()
    with pytest.raises(KeyboardInterrupt):
        conduct(made, folder, watch, workers=1)
    assert watch.named("began") == ["a/seed-0"]
    assert log.read_text() == "here\nasked\n"
    assert watch.events[-2:] == [("ended", "a/seed-0", ""), ("finish",)]


def test_the_time_of_all_processes_of_a_run_is_added_up(folder):
    lines = ['{"run": "a/seed-0", "seconds": 1.5}', '{"run": "a/seed-0", "seconds": 2}', '{"run": "b/se']
    (folder / "times.jsonl").write_text("\n".join(lines))
    assert seconds(folder) == {"a/seed-0": 3.5}


def test_a_run_that_another_recipe_began_is_refused_with_the_difference(folder):
    begun = Job("a", 0, recipe(steps=4), folder / "a" / "seed-0")
    finish(begun)
    stage = replace(begun.recipe.stages[0], samples=16)
    with pytest.raises(StoreError, match=r"stages\.0\.samples was 2, now 16\. Choose another folder with --out"):
        check(replace(begun, recipe=replace(begun.recipe, stages=(stage,))))
    check(replace(begun, recipe=replace(begun.recipe, claim="another one")))


def test_what_cannot_work_is_said_before_the_first_run(folder, played):
    played("pass")
    with pytest.raises(ConfigError, match=r"Did you mean .accuracy."):
        conduct(study(measures=("acuracy",)), folder, Watch())
    with pytest.raises(ConfigError, match="--workers must be 1 or more, got 0"):
        conduct(study(), folder, Watch(), workers=0)
    assert list(folder.iterdir()) == []


def test_a_run_of_no_steps_ends_and_its_answers_can_be_sampled(folder):
    """The real worker: the model as it is, with the answers behind pass@2, and an arm that cannot be loaded."""
    start = replace(recipe(), model="scratch:micro", stages=(replace(recipe().stages[0], steps=0),))
    start = replace(
        start, heldout=replace(start.heldout, problems=2, episode=replace(start.heldout.episode, max_tokens=8))
    )
    broken = replace(start, model=str(folder / "nowhere"))
    made = study(
        seeds=1, arms=(Arm(name="a", recipe=start), Arm(name="b", recipe=broken)), read=over("a"), measures=("pass@2",)
    )
    failures = conduct(made, folder, Watch(), workers=2)
    assert [failure.run for failure in failures] == ["b/seed-0"]
    assert "nowhere" in failures[0].reason
    job = jobs(made, folder)[0]
    assert job.finished, job.log.read_text()
    rows = [json.loads(line) for line in (job.run / "heldout-2.jsonl").read_text().splitlines()]
    assert [(row["problem_id"], row["sample"]) for row in rows] == [
        (f"arithmetic/heldout/{i}", sample) for i in (0, 1) for sample in (0, 1)
    ]


def test_a_killed_study_goes_on_with_the_same_command(tmp_path):
    """All of it real: killed under way, the same command ends it with the numbers of one that was never killed."""
    command = [
        sys.executable, "-m", "strop.cli.main", "compare", "grpo", "start", "--model", "scratch:micro", "--steps", "6",
        "--seeds", "1", "--workers", "1", "--json", "--quiet", *(f"--set={setting}" for setting in TINY),
    ]  # fmt: skip
    folder = tmp_path / "runs" / "studies" / "grpo-vs-start-arithmetic"
    run = folder / "grpo" / "seed-0"
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(run.glob("rollouts/step=000002/train.parquet")):
        assert first.poll() is None, first.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.kill()
    first.wait()
    writer = json.loads((run / ".writer").read_bytes())[1]
    while Path(f"/proc/{writer}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # its end of the pipe is closed: it dies, too
    assert not (run / "checkpoints" / "step=000006").exists()

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    assert result["verdict"] == "too small to tell"
    assert result["arms"][0]["runs"][0]["step"] == 6
    assert result["arms"][1]["runs"][0]["step"] == 0
    assert json.loads((folder / "result.json").read_text()) | {"folder": result["folder"]} == result
    assert (folder / "study.html").is_file()

    whole = tmp_path / "whole"
    recipe_file = folder / "grpo" / "seed-0.json"
    done = subprocess.run(
        [sys.executable, "-m", "strop.cli.main", "run", str(recipe_file), "--out", str(whole), "--quiet"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert differences(whole, run) == []


def test_the_recipe_of_a_run_is_written_as_it_runs(folder, played, monkeypatch):
    made = study(seeds=1)
    job = jobs(made, folder)[0]
    monkeypatch.setattr(sys, "executable", "/bin/true")
    conduct_module._start(job).wait()
    assert job.file.read_text() == to_json(job.recipe) + "\n"
