"""The learner's actor as the process that leads sees it: nothing it has done is lost with it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strop.backends.ray.actor import Actor
from strop.backends.ray.actors import About
from strop.backends.ray.toll import Toll
from strop.backends.remote_learner import RemoteLearner
from strop.backends.torch.weights import Tree
from strop.store.tree import tree_from_bytes, tree_to_bytes

CHANGING = ("step", "forget", "set_reference", "restart")
"""Commands that another learner must repeat to be what this one is."""
MOVING = ("step", "restart")
"""Commands after which the net's weights are others."""
RATIO = 20.0
"""A snapshot is taken when what came after the last one took so many times as long as a snapshot does: it costs at most
a twentieth of the learner's time, and a learner that is lost is caught up with in as many times a snapshot's."""
LONGEST = 256
"""Most commands since the last snapshot: they are kept, with their batches."""


@dataclass(frozen=True)
class Published:
    """The net's weights in the object store, for whoever draws."""

    version: int
    reference: Any


class Learning:
    """Has commands done by an actor. It is deterministic, so another one that begins at the last snapshot and repeats
    the commands since is what the lost one was, to the bit on the same kind of machine; what the lost one was doing is
    in neither, and done after that."""

    def __init__(self, actor: Actor, opened: Callable[[Actor], Any], toll: Toll) -> None:
        """`opened(actor)` asks an actor to load the model."""
        self.actor = actor
        self.version = 0
        """How often the net's weights have changed."""
        self._opened = opened
        self._toll = toll
        self._snapshot: Any = None
        """A reference to what `state` gave, as bytes; None is what the recipe begins with."""
        self._journal: list[bytes] = []
        self._seconds = 0.0
        self._snapshot_seconds = 1.0
        self._published: Published | None = None

    def open(self) -> About:
        """Load the model."""
        return self.actor.opened(self._opened(self.actor))

    def call(self, what: str, **arguments: Any) -> Any:
        """Have a command done, once."""
        with self.actor.lock:
            command = tree_to_bytes({"what": what, "arguments": arguments})
            started = time.perf_counter()
            reference, answer = self._ask(lambda actor: actor.do.remote(command))
            if what == "state":
                self._begin(reference)
            if what in CHANGING:
                self._journal.append(command)
                self._seconds += time.perf_counter() - started
                self.version += what in MOVING
                if self._seconds > RATIO * self._snapshot_seconds or len(self._journal) >= LONGEST:
                    self._save()
            return tree_from_bytes(answer)

    def restore(self, tree: Tree) -> None:
        """Go on from what `state` gave."""
        with self.actor.lock:
            self._begin(self.actor.cluster.ray.put(tree_to_bytes(tree)))
            self._ask(self._restored)
            self.version += 1

    def publish(self) -> Published:
        """The net's weights as they are now; written once for each state of them."""
        with self.actor.lock:
            if self._published is None or self._published.version != self.version:
                started = time.perf_counter()
                reference, weights = self._ask(lambda actor: actor.publish.remote())
                size = sum(array.nbytes for array in weights.values())
                self._published = Published(self.version, reference)
                self._toll.wrote(self.version, time.perf_counter() - started, size)
            return self._published

    def save_model(self, folder: Path) -> None:
        """The model's folder: its files come from the actor, which may be on another machine."""
        _, files = self._ask(lambda actor: actor.files.remote())
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            data.tofile(folder / name)

    def _ask(self, ask: Callable[[Any], Any]) -> tuple[Any, Any]:
        """A reference to the answer, and the answer; of another actor where this one is lost on the way."""
        with self.actor.lock:
            while True:
                now = self.actor.now
                try:
                    reference = ask(now)
                    answer = self.actor.get(reference)
                    self.actor.well()
                    return reference, answer
                except self.actor.lost as error:
                    self.actor.replace(now, error, self._catch_up)

    def _catch_up(self) -> None:
        """Bring a new actor to where the lost one was."""
        self.actor.get(self._opened(self.actor))
        if self._snapshot is not None:
            self.actor.get(self._restored(self.actor.now))
        for command in self._journal:
            self.actor.get(self.actor.now.do.remote(command))

    def _restored(self, actor: Any) -> Any:
        return actor.restore.remote(self._snapshot)

    def _save(self) -> None:
        started = time.perf_counter()
        command = tree_to_bytes({"what": "state", "arguments": {}})
        reference, _ = self._ask(lambda actor: actor.do.remote(command))
        self._begin(reference)
        self._snapshot_seconds = time.perf_counter() - started

    def _begin(self, snapshot: Any) -> None:
        self._snapshot, self._journal, self._seconds = snapshot, [], 0.0


def remote(learning: Learning, toll: Toll) -> RemoteLearner:
    """What the loop asks of a `TorchLearner`, done by an actor. The reports of its steps say more:

    - `time/sync`: seconds that weights took since the last report, into the object store and, in the slowest sampler,
      out of it; `sync/bytes`: how many bytes went in. Absent where nobody drew with new weights.
    - `actors/replaced`: actors that were lost and replaced since the last report. Absent where none was.
    """

    def call(what: str, **arguments: Any) -> Any:
        answer = learning.call(what, **arguments)
        return replace(answer, metrics={**answer.metrics, **toll.taken()}) if what == "step" else answer

    return RemoteLearner(call, learning.restore, learning.save_model)
