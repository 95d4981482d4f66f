"""The whole run, top to bottom.

::

    problems = curriculum.pick(state, n, key)        which problems next?
    groups   = score(episode(problems, sampler))     how does an attempt unfold, and is it right?
    groups   = reward(groups)                        what is it worth?
    batch    = pack(groups, advantage)               better or worse than expected?
    report   = learner.step(batch, objective)        what is minimised?
    state    = update(state, groups, report)
    store.append(step, groups, report)

Supervised, preference and distillation stages are the same loop with an episode that replays data and another
objective. Nothing here knows a method by name.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from strop.ahead import Ahead, step_key
from strop.backends.workers import HERE, Workers
from strop.batching import minibatches, pack
from strop.engine import Engine, open_engine
from strop.episodes import Sampler
from strop.errors import LostProcess
from strop.interrupt import last_step_on_interrupt
from strop.keys import Key
from strop.measure import control_metrics, heldout, heldout_metrics, mismatch_watch, rollout_metrics
from strop.piece import dump
from strop.progress import Progress, progress
from strop.recipe import Recipe, Stage, from_data
from strop.records import Group, Problem, Report
from strop.scoring import Clock, drop, encode, reward, score, settle
from strop.store import checkpoint
from strop.store.files import new_run_folder
from strop.store.run import Run
from strop.store.writer import RunWriter


@dataclass(frozen=True)
class State:
    """What a resumed run must know besides the weights; plain data, saved with every checkpoint."""

    step: int = 0
    """Steps done, over all stages."""
    stage: int = -1
    """The stage the memories belong to."""
    updates: int = 0
    """Optimiser steps done in this stage."""
    curriculum: Any = None
    rewards: Sequence[Any] = ()
    advantage: Any = None
    controllers: Sequence[Any] = ()


def run(
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    display: Progress | None = None,
    command: str = "",
    workers: Workers = HERE,
) -> Run:
    """Train as `recipe` says into the run folder `out` (default: a new one under `runs/`).

    What else than this process computes is said by `workers`. Raises a `StropError` that names what is wrong, before
    the first step where it can be known by then.
    """
    with open_engine(recipe, workers) as engine:
        path = new_run_folder(recipe.name) if out is None else Path(out)
        writer = RunWriter.create(path, dump(recipe), command, keep=recipe.keep or None)
        return _train(recipe, engine, writer, State(), display or progress())


def resume(path: str | Path, *, display: Progress | None = None, command: str = "", workers: Workers = HERE) -> Run:
    """Go on from a run's last checkpoint with the numbers of a run that never stopped, whatever its `workers` were."""
    old = Run.open(path)
    recipe = from_data(old.recipe)
    writer = RunWriter.resume(path, max(old.checkpoints, default=-1), command, keep=recipe.keep or None)
    with open_engine(recipe, workers) as engine:
        state = State()
        if old.checkpoints:
            saved = checkpoint.load(old.checkpoint("last"))
            engine.learner.restore(saved["learner"])
            state = State(**saved["state"])
        return _train(recipe, engine, writer, state, display or progress())


def _train(recipe: Recipe, engine: Engine, writer: RunWriter, state: State, show: Progress) -> Run:
    key = Key.root(recipe.seed)
    look_at_mismatch = mismatch_watch(recipe.mismatch, show.message)

    def measure(problems: int) -> None:
        show.phase("evaluate")
        groups = heldout(engine, recipe.heldout.episode, problems, key.fold("heldout"))
        numbers = heldout_metrics(groups)
        writer.append(state.step, "heldout", "heldout", groups, numbers)
        show.step(state.step, numbers)

    def save() -> None:
        show.phase("save")
        tree = {"state": asdict(state), "learner": engine.learner.state()}
        writer.checkpoint(state.step, tree, engine.save_model)

    try:
        with (
            last_step_on_interrupt(show.message) as interrupted,
            closing(Ahead(recipe, engine, attempt, interrupted)) as ahead,
        ):
            show.start(recipe.name, recipe.total_steps, state.step)
            lookahead = ahead if recipe.staleness else None
            if state == State():
                measure(recipe.heldout.problems)
            while state.step < recipe.total_steps and (ahead.begun or not interrupted()):
                stage, state = enter(recipe, engine, state)
                groups, metrics, state = train_step(stage, engine, state, key, show.phase, lookahead)
                last = state.step == recipe.total_steps
                writer.append(state.step, stage.name, "train", groups, metrics)
                show.step(state.step, metrics)
                look_at_mismatch(metrics)
                if last or _due(state.step, recipe.heldout.every):
                    measure(recipe.heldout.problems if last else recipe.heldout.quick)
                if last or (interrupted() and not ahead.begun) or _due(state.step, recipe.checkpoint_every):
                    save()
    except LostProcess as lost:
        raise LostProcess(f"{lost} Go on from the last checkpoint with: strop resume {writer.path}") from lost
    finally:
        show.finish()
        writer.finish()
    if state.step < recipe.total_steps:
        show.message(f"Stopped after step {state.step} of {recipe.total_steps}. Go on with: strop resume {writer.path}")
    return Run.open(writer.path)


def enter(recipe: Recipe, engine: Engine, state: State) -> tuple[Stage, State]:
    """The stage the next step belongs to, as its controllers want it now; a new stage starts with fresh memories."""
    number, end = 0, recipe.stages[0].steps
    while state.step >= end:
        number += 1
        end += recipe.stages[number].steps
    stage = recipe.stages[number]
    if number != state.stage:
        state = State(
            step=state.step,
            stage=number,
            curriculum=stage.curriculum.init(engine.task),
            rewards=[_memory(reward) for reward in stage.rewards],
            advantage=_memory(stage.advantage),
            controllers=[controller.init() for controller in stage.controllers],
        )
    for controller, memory in zip(stage.controllers, state.controllers, strict=True):
        stage = controller.apply(memory, stage)
    return stage, state


def train_step(
    stage: Stage,
    engine: Engine,
    state: State,
    run_key: Key,
    phase: Callable[[str], None],
    ahead: Ahead | None = None,
) -> tuple[list[Group], dict[str, float], State]:
    """One turn of the loop: every attempt that was made, the numbers, and the state after it. Attempts are drawn now,
    or `ahead` has drawn them."""
    started, clock = time.perf_counter(), Clock(phase)
    key = step_key(run_key, state.stage, state.step)

    groups, memory = ahead(stage, state, run_key, clock) if ahead else draw(stage, engine, state.curriculum, key, clock)

    with clock("learn"):
        engine.refer(stage)
        groups = reward(engine.learner.annotate(groups, stage.notes), stage.rewards, state.rewards)
        chosen = stage.curator(groups, key.fold("curate")) if stage.curator else groups
        chosen = engine.learner.annotate(encode(chosen, engine.sampler.tokenizer), stage.notes, only_new=True)
        batch, learned = pack(chosen, stage.advantage, stage.credit, state.advantage, stage.compared)
        if stage.restart:
            engine.learner.restart()
        if stage.epochs * stage.minibatches > 1:
            batch = engine.learner.prepare(batch, stage.objective)
        updates = stage.steps * stage.epochs * stage.minibatches
        reports: list[Report] = []
        for epoch in range(stage.epochs):
            for part in minibatches(batch, stage.minibatches, key.fold("epoch", epoch)):
                lr = stage.optimizer.rate(state.updates + len(reports), updates)
                reports.append(
                    engine.learner.step(
                        part, stage.objective, stage.average, stage.optimizer, lr, by_term=stage.by_term
                    )
                )
        report = Report.mean(reports)

    groups = settle(groups, learned)
    metrics = rollout_metrics(groups, clock) | dict(report.metrics)
    metrics |= control_metrics(stage.controllers, state.controllers)
    metrics["time/step"] = time.perf_counter() - started
    return groups, metrics, update(stage, state, memory, groups, report, len(reports))


def draw(stage: Stage, engine: Engine, memory: Any, key: Key, clock: Clock) -> tuple[list[Group], Any]:
    """Attempts for a step, in as many draws as the curriculum wants, and what it remembers then."""
    groups: list[Group] = []
    for number in range(stage.curriculum.rounds):
        wanted = stage.problems - sum(not group.dropped for group in groups)
        if wanted == 0:
            break
        problems, memory = stage.curriculum.pick(engine.task, memory, wanted, key.fold("pick", number))
        groups += attempt(stage, engine, engine.sampler, problems, key.fold("draw", number), clock)
    return groups, memory


def attempt(
    stage: Stage, engine: Engine, sampler: Sampler, problems: Sequence[Problem], key: Key, clock: Clock
) -> list[Group]:
    """Judged attempts at problems, those marked that the curriculum does not want."""
    attempts = stage.episode(problems, sampler=sampler, task=engine.task, samples=stage.samples, key=key)
    judged = score(problems, attempts, engine.judge(stage.verifier), clock)
    return [drop(group, stage.curriculum.drop(group)) for group in judged]


def update(stage: Stage, state: State, curriculum: Any, groups: Sequence[Group], report: Report, updates: int) -> State:
    """Let every piece with a memory learn from the step."""
    return replace(
        state,
        step=state.step + 1,
        updates=state.updates + updates,
        curriculum=stage.curriculum.update(curriculum, groups),
        rewards=[_after(each, memory, groups) for each, memory in zip(stage.rewards, state.rewards, strict=True)],
        advantage=_after(stage.advantage, state.advantage, groups),
        controllers=[
            controller.update(memory, groups, report)
            for controller, memory in zip(stage.controllers, state.controllers, strict=True)
        ],
    )


def _memory(piece: Any) -> Any:
    return piece.init() if hasattr(piece, "init") else None


def _after(piece: Any, memory: Any, groups: Sequence[Group]) -> Any:
    return piece.update(memory, groups) if hasattr(piece, "update") else memory


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
