"""How much a server takes on, and the gate that holds it to that."""

import math
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from strop.piece import piece

Positive = Annotated[int, Field(ge=1)]


@piece
class Limits:
    """What a server takes on; everything beyond is refused at once, so that memory does not grow with the load."""

    attempts: Positive = 512
    """Attempts that may wait or run, over all requests. A plain answer is one attempt, `nano:majority@16` sixteen."""
    per_request: Positive = 128
    """Attempts of one request: answers (`n`) times the decoder's budget."""
    tokens: Positive = 4096
    """Tokens of one attempt; what is asked for beyond that is cut to it."""
    body_bytes: Positive = 2**20
    """Bytes of a request."""
    seconds: Annotated[float, Field(gt=0)] = 600.0
    """Seconds for one request; after that it ends with an error. A shutdown waits as long."""


class Busy(Exception):
    """Not now: `status` and, in whole seconds, when to come back."""

    def __init__(self, status: int, said: str, seconds: int) -> None:
        super().__init__(said)
        self.status, self.seconds = status, seconds


class Gate:
    """Counts the attempts that are under way and refuses what does not fit.

    >>> gate = Gate(Limits(attempts=4))
    >>> leave = gate.enter(3)
    >>> gate.attempts
    3
    >>> leave()
    >>> gate.attempts, gate.served
    (0, 1)
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.attempts = self.requests = 0
        """Under way."""
        self.served = self.refused = 0
        """Requests since the start."""
        self.closing = False
        """Whether the server finishes what runs and takes on nothing new."""
        self._pace = 1.0
        """Seconds that a request takes, a moving average."""

    def enter(self, attempts: int) -> Callable[[], None]:
        """Make room for a request's attempts; `Busy` where there is none. What is given back frees the room, once."""
        if self.closing:
            self.refused += 1
            raise Busy(503, "The server is shutting down.", self._seconds())
        if self.attempts + attempts > self.limits.attempts:
            self.refused += 1
            raise Busy(
                429,
                f"{self.attempts} attempts are under way and this request needs {attempts}; together at most "
                f"{self.limits.attempts} are taken on.",
                self._seconds(),
            )
        self.attempts += attempts
        self.requests += 1
        started = time.monotonic()
        inside = True

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                self.attempts -= attempts
                self.requests -= 1
                self.served += 1
                self._pace += 0.1 * (time.monotonic() - started - self._pace)

        return leave

    def _seconds(self) -> int:
        return min(60, max(1, math.ceil(self._pace)))
