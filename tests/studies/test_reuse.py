"""Runs taken over from a neighbouring study: only where they would give the same numbers, and never half ones."""

import shutil
from dataclasses import replace

import pytest
from study_runs import Watch, answers, finish, recipe, study, write

from strop.study import reuse as reuse_module
from strop.study.conduct import conduct, jobs, seconds
from strop.study.reuse import reuse


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    """What the sources are said to be: in a checkout with changes, no run is taken over."""
    said = {"commit": "8f2a1c", "torch": "2.13.0", "cpu": "some"}
    monkeypatch.setattr("strop.store.writer.source", lambda: dict(said))
    monkeypatch.setattr(reuse_module, "source", lambda: dict(said))
    return said


@pytest.fixture
def there(tmp_path):
    """A finished run of a neighbour, and the job that wants the same."""
    old = jobs(study(seeds=1), tmp_path / "old")[0]
    finish(old)
    return old, jobs(study(seeds=1), tmp_path / "new")[0]


def taken(job):
    return reuse(job.recipe, job.run, job.run.parent.parent)


def test_a_finished_run_is_linked_and_outlives_the_study_it_came_from(there):
    old, new = there
    assert taken(new) == old.run
    assert new.finished
    metrics = next(new.run.rglob("*.parquet"))
    assert metrics.stat().st_ino == (old.run / metrics.relative_to(new.run)).stat().st_ino
    shutil.rmtree(old.run)
    assert new.finished


def test_it_is_not_taken_into_a_place_that_has_a_run(there):
    _, new = there
    new.run.mkdir(parents=True)
    assert taken(new) is None


@pytest.mark.parametrize(("fact", "value"), [("commit", "77aa"), ("torch", "2.11.0"), ("cpu", "another")])
def test_other_sources_versions_or_processors_are_not_taken(there, facts, fact, value):
    facts[fact] = value
    assert taken(there[1]) is None


def test_changed_sources_have_no_name(there, facts):
    old, new = there
    shutil.rmtree(old.run)
    facts["commit"] = "8f2a1c-dirty"
    finish(old)
    assert taken(new) is None


def test_another_recipe_or_seed_is_not_taken(there):
    _, new = there
    other = replace(new.recipe, stages=(replace(new.recipe.stages[0], problems=3),))
    assert reuse(other, new.run, new.run.parent.parent) is None
    assert reuse(replace(new.recipe, seed=1), new.run, new.run.parent.parent) is None
    assert reuse(new.recipe, new.run.with_name("seed-1"), new.run.parent.parent) is None


def test_a_half_run_is_not_taken(there):
    old, new = there
    shutil.rmtree(old.run / "checkpoints")
    assert taken(new) is None


def test_a_recipe_that_names_a_file_is_not_taken(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    old, new = (replace(jobs(study(seeds=1), tmp_path / name)[0], recipe=recipe(model=str(model))) for name in "ab")
    write(old, {0: answers(1, 4), 4: answers(1, 4)})
    assert taken(new) is None


def test_a_study_trains_only_what_its_neighbours_have_not(tmp_path, there):
    watch = Watch()
    for job in jobs(study(seeds=1), tmp_path / "old"):
        if not job.finished:
            finish(job)
    (tmp_path / "old" / "times.jsonl").write_text('{"run": "a/seed-0", "seconds": 7}\n')
    assert conduct(study(seeds=1), tmp_path / "new", watch, workers=1) == []
    assert watch.named("began") == []
    assert seconds(tmp_path / "new")["a/seed-0"] == 7
