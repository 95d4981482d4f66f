"""One actor, and those that follow it, as the process that leads sees them: asked, found lost, replaced."""

import os
import re
import sys
from collections.abc import Callable
from threading import RLock
from typing import Any

from strop.backends.ray.actors import Fault, FollowerActor, Place
from strop.backends.ray.cluster import Cluster
from strop.errors import LostProcess

READY = 300.0
"""Seconds in which an actor must have come up."""
LOSSES = 3
"""So many losses in a row, without anything done between them, end the run."""


class Actor:
    """An actor of this kind, and the next one after it is lost. Of `size` actors that hold one model together it is the
    first; only that one is asked, and when one of them is lost all are."""

    def __init__(self, cluster: Cluster, kind: type, name: str, size: int = 1) -> None:
        self.cluster = cluster
        self.kind = kind
        self.name = name
        self.size = size
        self.replaced = 0
        """How often it was replaced so far."""
        self.lock = RLock()
        self._row = 0
        self.now = self._new()
        """The actor itself."""

    def places(self) -> list[Place]:
        """Where it and its followers are, when they are there."""
        ray = self.cluster.ray
        try:
            found = ray.get([actor.place.remote() for actor in (self.now, *self.followers)], timeout=READY)
            self._near = len({place.node for place in found}) == 1
            return found
        except ray.exceptions.GetTimeoutError:
            free = {name: n for name, n in ray.available_resources().items() if name in ("CPU", "GPU")}
            raise LostProcess(
                f"{self.name} did not come up in {READY:.0f} s; free on the cluster: {free or 'nothing'}. Where its "
                "machines are busy, start Ray with RAY_worker_niceness=0: docs/ray.md"
            ) from None
        except self.lost as error:
            raise LostProcess(f"{self.name} was lost as it came up: {self._why(error)}") from error

    def gather(self, threads: int) -> None:
        """Have the followers meet it, each with so many threads, and do what it says from then on."""
        if self.followers:
            # at a port others could join them
            meeting = self.now.meet.remote(self.size, self.cluster.file("meeting") if self._near else "")
            self._following = [
                follower.follow.remote(rank, self.size, meeting, threads)
                for rank, follower in enumerate(self.followers, start=1)
            ]

    def opened(self, reference: Any) -> Any:
        """What it answers when it has loaded the model for the first time: another one would not fare better."""
        try:
            return self.get(reference)
        except self.lost as error:
            raise LostProcess(f"{self.name} was lost while it loaded the model: {self._why(error)}") from error

    def get(self, reference: Any) -> Any:
        """What it answered. Raises the `StropError` that it met, and one of `lost` where it is gone."""
        ray = self.cluster.ray
        if self._following:
            ready, _ = ray.wait([reference, *self._following], num_returns=1)
            if reference not in ready:
                # the one that is asked may wait for it, on a GPU forever
                self.end()
                ray.get(ready)
        answer = ray.get(reference)
        if isinstance(answer, Fault):
            raise answer.error()
        return answer

    def well(self) -> None:
        """It has done something that was wanted of it."""
        self._row = 0

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """What Ray raises where an actor, or what it held, is gone."""
        exceptions = self.cluster.ray.exceptions
        return (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.ObjectLostError)

    def replace(self, gone: Any, error: Exception, open: Callable[[], Any]) -> None:
        """Put another one into the place of `gone`, where nobody has yet, and have it opened. Raises `LostProcess`
        where too many were lost in a row."""
        with self.lock:
            while self.now is gone:
                why = self._why(error)
                self._row += 1
                if self._row > LOSSES:
                    raise LostProcess(f"{self.name} was lost {self._row} times in a row: {why}")
                sys.stderr.write(f"{self.name} was lost and is replaced: {why}\n")
                self.replaced += 1
                self.end()
                self.now = self._new()
                self.places()
                try:
                    open()
                except self.lost as another:
                    gone, error = self.now, another

    def end(self) -> None:
        for actor in (self.now, *self.followers):
            self.cluster.ray.kill(actor)

    def _new(self) -> Any:
        here = os.getcwd()
        self.followers = [self.cluster.actor(FollowerActor, here) for _ in range(self.size - 1)]
        self._following: list[Any] = []
        """What their following comes to; it ends when one of them is lost."""
        return self.cluster.actor(self.kind, here)

    def _why(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        found = re.search(r"pid: (\d+) .*?ip: (\S+)", text)
        if found is None:
            return text[:300]
        memory = " The machine ran out of memory." if "OutOfMemory" in text or "memory monitor" in text else ""
        return f"its process {found[1]} on {found[2]} ended.{memory}{self.cluster.last_words(int(found[1]))}"
