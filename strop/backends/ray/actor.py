"""One actor as the process that leads sees it: asked, found lost, replaced."""

import os
import re
import sys
from collections.abc import Callable
from threading import RLock
from typing import Any

from strop.backends.ray.actors import Fault, Place
from strop.backends.ray.cluster import Cluster
from strop.errors import LostProcess

READY = 300.0
"""Seconds in which an actor must have come up."""
LOSSES = 3
"""So many losses in a row, without anything done between them, end the run."""


class Actor:
    """An actor of this kind, and the next one after it is lost."""

    def __init__(self, cluster: Cluster, kind: type, name: str) -> None:
        self.cluster = cluster
        self.kind = kind
        self.name = name
        self.replaced = 0
        """How often it was replaced so far."""
        self.lock = RLock()
        self._row = 0
        self.now = self._new()
        """The actor itself."""

    def place(self) -> Place:
        """Where it is, when it is there."""
        ray = self.cluster.ray
        try:
            return ray.get(self.now.place.remote(), timeout=READY)
        except ray.exceptions.GetTimeoutError:
            free = {name: n for name, n in ray.available_resources().items() if name in ("CPU", "GPU")}
            raise LostProcess(
                f"{self.name} did not come up in {READY:.0f} s; free on the cluster: {free or 'nothing'}."
            ) from None
        except self.lost as error:
            raise LostProcess(f"{self.name} was lost as it came up: {self._why(error)}") from error

    def opened(self, reference: Any) -> Any:
        """What it answers when it has loaded the model for the first time: another one would not fare better."""
        try:
            return self.get(reference)
        except self.lost as error:
            raise LostProcess(f"{self.name} was lost while it loaded the model: {self._why(error)}") from error

    def get(self, reference: Any) -> Any:
        """What it answered. Raises the `StropError` that it met, and one of `lost` where it is gone."""
        answer = self.cluster.ray.get(reference)
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
                self.place()
                try:
                    open()
                except self.lost as another:
                    gone, error = self.now, another

    def end(self) -> None:
        self.cluster.ray.kill(self.now)

    def _new(self) -> Any:
        return self.cluster.actor(self.kind, os.getcwd())

    def _why(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        found = re.search(r"pid: (\d+) .*?ip: (\S+)", text)
        if found is None:
            return text[:300]
        memory = " The machine ran out of memory." if "OutOfMemory" in text or "memory monitor" in text else ""
        return f"its process {found[1]} on {found[2]} ended.{memory}{self.cluster.last_words(int(found[1]))}"
