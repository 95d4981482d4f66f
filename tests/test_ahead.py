"""Attempts drawn ahead of their step: with which weights, how many, and that none is lost."""

import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from strop import flow
from strop.ahead import Ahead
from strop.curricula.uniform import Uniform
from strop.errors import ConfigError
from strop.flow import State
from strop.keys import Key
from strop.recipe import Heldout, override
from strop.recipes.grpo import grpo
from strop.recipes.sft import sft
from strop.rewards.soft_overlong import SoftOverlong
from strop.scoring import Clock
from strop.store.query import differences
from strop.tasks.arithmetic import Arithmetic


class Listener:
    """Hears of each step, and does something then."""

    def __init__(self, then=lambda step: None):
        self.then = then

    def start(self, recipe, total_steps, done=0): ...
    def phase(self, name): ...
    def message(self, text): ...
    def finish(self, summary=""): ...
    def step(self, step, metrics):
        if "loss" in metrics:
            self.then(step)


def stale(staleness, steps=6, **changes):
    recipe = replace(
        grpo(steps=steps), model="scratch:micro", precision="fp32", staleness=staleness, checkpoint_every=0,
        heldout=Heldout(problems=2, quick=2, every=0),
    )  # fmt: skip
    settings = ["objective=truncated_importance", "problems=2", "samples=8", "optimizer.lr=1e-2",
                "episode.max_tokens=24"]  # fmt: skip
    recipe = override(recipe, [f"stages.0.{setting}" for setting in settings])
    # rewards that differ even for an untrained model: its lengths do
    stage = replace(recipe.stages[0], rewards=(SoftOverlong(max_length=24, buffer=23),))
    return replace(recipe, stages=(stage,), **changes)


class Weights:
    """Counts what a learner would have done to them, and who drew with which."""

    def __init__(self, keeps):
        self.version, self.drawn = 0, {}
        self.task = Arithmetic()
        self.sampler = SimpleNamespace(version=None)
        if keeps:
            self.sampler.now = lambda: SimpleNamespace(version=self.version)

    def attempt(self, stage, engine, sampler, problems, key, clock):
        version = self.version if sampler.version is None else sampler.version
        for problem in problems:
            self.drawn[problem.id] = version
        return [version]


def versions(recipe, keeps, stop_at=None):
    """With which weights each step's attempts were drawn; each step changes the weights once."""
    weights, found, memory = Weights(keeps), [], Uniform().init(Arithmetic())
    ahead = Ahead(recipe, weights, weights.attempt, lambda: stop_at is not None and weights.version >= stop_at)
    while weights.version < recipe.total_steps and (ahead.begun or stop_at is None or weights.version < stop_at):
        state = State(step=weights.version, stage=0, curriculum=memory)
        [version], memory = ahead(recipe.stages[0], state, Key.root(0), Clock())
        found.append(version)
        weights.version += 1
    ahead.close()
    return found, weights.drawn


@pytest.mark.parametrize("keeps", [True, False])
def test_weights_are_as_old_as_said_and_new_after_a_checkpoint(keeps):
    recipe = stale(2, steps=9, checkpoint_every=5)
    actual, drawn = versions(recipe, keeps)
    assert actual == [0, 0, 0, 1, 2, 5, 5, 5, 6]
    # two problems a step, in their order, none left out and none twice
    assert sorted(drawn) == sorted(f"arithmetic/train/{i}" for i in range(18))


@pytest.mark.parametrize("keeps", [True, False])
def test_nothing_is_begun_that_will_not_be_used(keeps):
    """Asked to stop after step 3, it ends the two that are begun and begins no other."""
    actual, drawn = versions(stale(2, steps=9), keeps, stop_at=3)
    assert actual == [0, 0, 0, 1, 2]
    assert len(drawn) == 2 * len(actual)


def test_an_evaluation_sees_nothing_under_way():
    actual, _ = versions(stale(1, steps=6, heldout=Heldout(problems=2, quick=2, every=3)), True)
    assert actual == [0, 0, 1, 3, 3, 4]


def of(run, name):
    rows = run.query(f"select value from metrics where name = '{name}' order by step").to_pylist()
    return [row["value"] for row in rows]


def test_old_weights_are_seen_and_corrected_for(tmp_path):
    fresh, old = (flow.run(stale(k), out=tmp_path / "runs" / str(k), display=Listener()) for k in (0, 1))
    assert max(of(fresh, "mismatch/kl")) < 1e-8
    # the first two steps are drawn with the first weights; the second is learned from after one change
    first, *later = of(old, "mismatch/kl")
    assert first < 1e-8
    assert max(later) > 1e-3
    assert of(fresh, "reward/mean")[:1] == of(old, "reward/mean")[:1]
    weights = of(old, "sampler/weight")
    assert weights[0] == pytest.approx(1.0, abs=1e-6)
    assert any(abs(weight - 1) > 1e-6 for weight in weights[1:])


def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path):
    def fail(step):
        if step == 4:
            raise KeyboardInterrupt

    recipe = stale(2, checkpoint_every=3)
    whole, broken = tmp_path / "runs" / "whole", tmp_path / "runs" / "broken"
    flow.run(recipe, out=whole, display=Listener())
    with pytest.raises(KeyboardInterrupt):
        flow.run(recipe, out=broken, display=Listener(fail))
    flow.resume(broken, display=Listener())
    assert differences(whole, broken) == []


def test_interrupted_it_ends_what_it_has_begun(tmp_path):
    steps = []

    def interrupt(step):
        steps.append(step)
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    run = flow.run(stale(2, steps=8), out=tmp_path / "runs" / "run", display=Listener(interrupt))
    # at step 2, those of steps 3 and 4 are begun
    assert steps == [1, 2, 3, 4]
    flow.resume(run.path, display=Listener(interrupt))
    ids = [row["problem_id"] for row in run.query(
        "select distinct step, problem_id from rollouts where split = 'train' order by step").to_pylist()]  # fmt: skip
    assert sorted(ids) == sorted(f"arithmetic/train/{i}" for i in range(16))


def test_what_is_not_corrected_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"stages.0.objective: staleness=1 .*=truncated_importance"):
        flow.run(replace(grpo(steps=2), staleness=1), out=tmp_path / "runs" / "a", display=Listener())
    filled = override(stale(1), ["stages.0.curriculum=dynamic_sampling"])
    with pytest.raises(ConfigError, match=r"dynamic_sampling draws again to fill a step.*=uniform"):
        flow.run(filled, out=tmp_path / "runs" / "b", display=Listener())


def test_data_that_is_replayed_does_not_grow_old(tmp_path):
    recipe = replace(
        sft(steps=3), model="scratch:micro", heldout=Heldout(problems=2, quick=2, every=0), precision="fp32"
    )
    recipe = override(recipe, ["stages.0.problems=4"])
    runs = [flow.run(replace(recipe, staleness=k), out=tmp_path / "runs" / str(k), display=Listener()) for k in (0, 1)]
    assert of(runs[0], "loss") == of(runs[1], "loss")
