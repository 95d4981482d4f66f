"""What several actors cost beside the work they do."""

from collections.abc import Callable
from threading import Lock


class Toll:
    """Counted since it was last `taken`. Safe to use from several threads."""

    def __init__(self, replaced: Callable[[], int]) -> None:
        """`replaced()` is how many actors were replaced since the run began."""
        self._replaced = replaced
        self._told = 0
        self._written: dict[int, float] = {}
        self._read: dict[int, float] = {}
        self._bytes = 0
        self._lock = Lock()

    def wrote(self, version: int, seconds: float, size: int) -> None:
        """The learner put its weights into the object store."""
        with self._lock:
            self._written[version] = seconds
            self._bytes += size

    def read(self, version: int, seconds: float) -> None:
        """A sampler took them from there."""
        with self._lock:
            self._read[version] = max(seconds, self._read.get(version, 0.0))

    def taken(self) -> dict[str, float]:
        """The numbers that `learner.remote` explains."""
        replaced = self._replaced()
        with self._lock:
            found: dict[str, float] = {}
            if self._written or self._read:
                seconds = sum(self._written.values()) + sum(self._read.values())
                found = {"time/sync": seconds, "sync/bytes": float(self._bytes)}
            if replaced > self._told:
                found["actors/replaced"] = float(replaced - self._told)
            self._written, self._read, self._bytes, self._told = {}, {}, 0, replaced
        return found
