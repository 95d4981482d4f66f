"""Attempts of the steps to come, drawn while a step is still learned from."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from strop.engine import Engine
from strop.episodes import Sampler
from strop.keys import Key
from strop.recipe import Recipe, Stage
from strop.records import Group, Problem
from strop.scoring import Clock

if TYPE_CHECKING:
    from strop.flow import State

Attempt = Callable[[Stage, Engine, Sampler, Sequence[Problem], Key, Clock], list[Group]]
"""Makes judged attempts at problems: `flow.attempt`."""


class Ahead:
    """The attempts of each step of a run, drawn with weights that are at most `recipe.staleness` steps old.

    When the attempts of step t are asked for, those of all steps up to t + staleness are begun that are not yet, with
    the weights as they are then. A sampler that keeps these weights (`now`) draws them while the learner learns;
    another one before: the numbers are the same, the time is not. Nothing is begun beyond the next checkpoint, the next
    evaluation, or the end of the stage, so a run that goes on from a checkpoint is the run that never stopped.
    """

    def __init__(
        self, recipe: Recipe, engine: Engine, attempt: Attempt, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Once `stopping`, no step is begun but the one asked for."""
        self.recipe = recipe
        self.engine = engine
        self.attempt = attempt
        self.stopping = stopping
        self.begun: deque[Callable[[], list[Group]]] = deque()
        """For each of the next steps, in their order: waits for its attempts."""
        self._one_by_one = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")

    def __call__(self, stage: Stage, state: "State", run_key: Key, clock: Clock) -> tuple[list[Group], Any]:
        """The attempts of the step that comes after `state`, and what the curriculum remembers now."""
        memory = state.curriculum
        for step in range(state.step + len(self.begun), self._end(state)):
            key = step_key(run_key, state.stage, step)
            problems, memory = stage.curriculum.pick(self.engine.task, memory, stage.problems, key.fold("pick", 0))
            self.begun.append(self._begin(stage, problems, key.fold("draw", 0), clock))
        with clock("generate"):
            return self.begun.popleft()(), memory

    def _begin(self, stage: Stage, problems: Sequence[Problem], key: Key, clock: Clock) -> Callable[[], list[Group]]:
        now = getattr(self.engine.sampler, "now", None)
        if now is None:
            groups = self.attempt(stage, self.engine, self.engine.sampler, problems, key, clock)
            return lambda: groups
        # what it takes beside the learning is no time of the step; waiting for it is
        return self._one_by_one.submit(self.attempt, stage, self.engine, now(), problems, key, Clock()).result

    def _end(self, state: "State") -> int:
        """The first step whose attempts may not be begun yet."""
        if self.stopping():
            return state.step + 1
        ends = [sum(stage.steps for stage in self.recipe.stages[: state.stage + 1])]
        for every in (self.recipe.checkpoint_every, self.recipe.heldout.every):
            ends += [(state.step // every + 1) * every] if every else []
        return min(state.step + 1 + self.recipe.staleness, *ends)

    def close(self) -> None:
        """Begin nothing more."""
        self._one_by_one.shutdown(wait=False, cancel_futures=True)


def step_key(run_key: Key, stage: int, step: int) -> Key:
    """What all that is random in a step comes from."""
    return run_key.fold("stage", stage, "step", step)
