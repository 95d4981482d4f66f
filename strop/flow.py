"""The whole run, top to bottom.

::

    problems = curriculum.pick(state, n, key)        which problems next?
    groups   = score(episode(problems, sampler))     how does an attempt unfold, is it right, what is it worth?
    batch    = pack(groups, advantage)               better or worse than expected?
    report   = learner.step(batch, objective)        what is minimised?
    state    = update(state, groups, report)
    store.append(step, groups, report)

Supervised, preference and distillation stages are the same loop with an episode that replays data and another
objective. Nothing here knows a method by name.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from strop.batching import minibatches, pack
from strop.engine import Engine, open_engine
from strop.keys import Key
from strop.measure import heldout, heldout_metrics, rollout_metrics
from strop.progress import Progress, automatic
from strop.recipe import Recipe, Stage
from strop.records import Group, Report
from strop.scoring import Clock, score
from strop.store.run import Run
from strop.store.writer import RunWriter


@dataclass(frozen=True)
class State:
    """What a resumed run must know besides the weights: plain data, saved with every checkpoint."""

    step: int = 0
    """Steps done, over all stages."""
    stage: int = -1
    """The stage the memories belong to."""
    curriculum: Any = None
    rewards: Sequence[Any] = ()
    controllers: Sequence[Any] = ()


def run(recipe: Recipe, *, out: str | Path | None = None, progress: Progress | None = None, command: str = "") -> Run:
    """Train as `recipe` says into the run folder `out` (default: a new one under `runs/`).

    Raises a `StropError` that names what is wrong, before the first step where it can be known by then.
    """
    with open_engine(recipe) as engine:
        return _train(recipe, engine, RunWriter.create(out, recipe, command), State(), progress or automatic())


def resume(path: str | Path, *, progress: Progress | None = None) -> Run:
    """Go on from a run's last checkpoint, with the same numbers as if it had never stopped."""
    writer, recipe, saved = RunWriter.reopen(path)
    with open_engine(recipe) as engine:
        engine.learner.restore(saved["learner"])
        return _train(recipe, engine, writer, State(**saved["state"]), progress or automatic())


def _train(recipe: Recipe, engine: Engine, writer: RunWriter, state: State, show: Progress) -> Run:
    key = Key.root(recipe.seed)

    def measure(problems: int) -> None:
        show.phase("held-out")
        groups = heldout(engine, recipe.heldout.episode, problems, key.fold("heldout"))
        numbers = heldout_metrics(groups)
        writer.append(state.step, "heldout", "heldout", groups, numbers)
        show.step(state.step, numbers)

    def save() -> None:
        show.phase("saving")
        tree = {"state": asdict(state), "learner": engine.learner.state()}
        writer.checkpoint(state.step, tree, engine.save_model, recipe.keep)

    with show, _last_step_on_interrupt() as interrupted:
        show.start(recipe, state.step)
        if state.step == 0:
            measure(recipe.heldout.problems)
            save()
        while state.step < recipe.total_steps and not interrupted():
            stage, state = enter(recipe, engine, state)
            groups, metrics, state = train_step(stage, engine, state, key, show.phase)
            writer.append(state.step, stage.name, "train", groups, metrics)
            show.step(state.step, metrics)
            if state.step == recipe.total_steps:
                measure(recipe.heldout.problems)
            elif recipe.heldout.every and state.step % recipe.heldout.every == 0:
                measure(recipe.heldout.quick)
            if state.step == recipe.total_steps or interrupted() or _due(state.step, recipe.checkpoint_every):
                save()
        if state.step < recipe.total_steps:
            show.message(f"Stopped after step {state.step}. Go on with: strop resume {writer.path}")
        else:
            show.finish(writer.finish())
    return Run.open(writer.path)


def enter(recipe: Recipe, engine: Engine, state: State) -> tuple[Stage, State]:
    """The stage that the next step belongs to, as its controllers want it; fresh memories where it is a new one."""
    number, ends = 0, recipe.stages[0].steps
    while state.step >= ends:
        number += 1
        ends += recipe.stages[number].steps
    stage = recipe.stages[number]
    if number != state.stage:
        state = State(
            step=state.step,
            stage=number,
            curriculum=stage.curriculum.init(engine.task),
            rewards=[reward.init() if hasattr(reward, "init") else None for reward in stage.rewards],
            controllers=[controller.init() for controller in stage.controllers],
        )
    for controller, memory in zip(stage.controllers, state.controllers, strict=True):
        stage = controller.apply(memory, stage)
    return stage, state


def train_step(
    stage: Stage, engine: Engine, state: State, key: Key, phase: Callable[[str], None]
) -> tuple[list[Group], dict[str, float], State]:
    """One turn of the loop: every attempt, the numbers, and the state after it."""
    clock, started = Clock(phase), time.perf_counter()
    here = key.fold("stage", state.stage, "step", state.step)
    groups: list[Group] = []
    memory = state.curriculum
    for draw in range(stage.curriculum.rounds):
        wanted = stage.problems - sum(not _dropped(group) for group in groups)
        if wanted == 0:
            break
        problems, memory = stage.curriculum.pick(engine.task, memory, wanted, here.fold("pick", draw))
        attempts = stage.episode(
            problems, sampler=engine.sampler, task=engine.task, samples=stage.samples, key=here.fold("draw", draw)
        )
        fresh = score(problems, attempts, engine.judge(stage.verifier), stage.rewards, state.rewards, clock)
        groups += [_drop(group, stage.curriculum.drop(group)) for group in fresh]
    curated = stage.curator(groups, here.fold("curate")) if stage.curator else groups

    with clock("learn"):
        batch, curated = pack(curated, stage.advantage)
        first = optimiser_step(stage, state)
        total = stage.steps * stage.epochs * stage.minibatches
        reports: list[Report] = []
        for epoch in range(stage.epochs):
            for part in minibatches(batch, stage.minibatches, here.fold("epoch", epoch)):
                rate = stage.optimizer.rate(first + len(reports), total)
                reports.append(engine.learner.step(part, stage.objective, stage.average, stage.optimizer, rate))

    report = _mean(reports)
    after = replace(
        state,
        step=state.step + 1,
        curriculum=stage.curriculum.update(memory, groups),
        rewards=[
            reward.update(memory, groups) if hasattr(reward, "update") else None
            for reward, memory in zip(stage.rewards, state.rewards, strict=True)
        ],
        controllers=[
            controller.update(memory, groups, report)
            for controller, memory in zip(stage.controllers, state.controllers, strict=True)
        ],
    )
    metrics = rollout_metrics(groups, clock) | dict(report.metrics) | {"time/step": time.perf_counter() - started}
    return curated, metrics, after
