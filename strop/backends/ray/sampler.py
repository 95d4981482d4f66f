"""The samplers' actors as one sampler."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any, ClassVar

from strop.backends.ray.actor import Actor
from strop.backends.ray.actors import Loaded
from strop.backends.ray.learner import Published
from strop.backends.ray.toll import Toll
from strop.episodes import Sampler
from strop.errors import BackendError
from strop.models.chat_tokenizer import ChatTokenizer
from strop.records import Completion, Request

BREATH = 0.5
"""Seconds between looks at whether the run is over."""


@dataclass
class Piece:
    """Samples that one actor draws."""

    jobs: list[tuple[int, int]]
    """Request and sample of each, those of a request together."""
    actor: Actor | None = None
    asked: Any = None
    """The very actor that draws them."""
    done: set[tuple[int, int]] = field(default_factory=set)

    def requests(self, every: Sequence[Request]) -> list[Request]:
        """As they are sent: each request with the seeds that are wanted of it."""
        return [replace(every[i], seeds=[int(every[i].seeds[j]) for j in js]) for i, js in self._by_request().items()]

    def original(self, completion: Completion) -> Completion:
        """What was drawn for a request that was sent, as part of the whole call."""
        index, samples = list(self._by_request().items())[completion.request]
        return replace(completion, request=index, sample=samples[completion.sample])

    def rest(self) -> "Piece":
        """What is not done of it."""
        return Piece([job for job in self.jobs if job not in self.done])

    def _by_request(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for i, j in self.jobs:
            found.setdefault(i, []).append(j)
        return found


class Pool:
    """Actors that draw, each with a whole copy of the weights."""

    def __init__(self, actors: Sequence[Actor], opened: Callable[[Actor], Any], toll: Toll) -> None:
        """`opened(actor)` asks an actor to load the model."""
        self.actors = list(actors)
        self._opened = opened
        self._toll = toll
        self._quiet = Condition()
        self._asked = 0
        """Threads that wait for an actor right now."""
        self._closing = False

    def open(self) -> int:
        """Load the model in all of them; most tokens that a prompt and its response may have."""
        waiting = [(actor, self._opened(actor)) for actor in self.actors]
        return min(int(actor.opened(reference)) for actor, reference in waiting)

    def draw(self, requests: Sequence[Request], whom: str, weights: Published | None) -> Iterator[Completion]:
        """Every sample once, whatever happens to the actors; may be called again before it is through."""
        ray = self.actors[0].cluster.ray
        left = deque((i, list(range(len(r.seeds)))) for i, r in enumerate(requests) if len(r.seeds))
        again: deque[Piece] = deque()
        flying: dict[Any, Piece] = {}
        idle = deque(self.actors)
        # one piece for each: whoever got several smaller ones would wait for the longest answer of each of them
        share = -(-sum(len(r.seeds) for r in requests) // len(self.actors))
        while left or again or flying:
            while idle and (again or left):
                piece = again.popleft() if again else self._cut(left, share)
                flying[self._sent(piece, idle.popleft(), requests, whom, weights)] = piece
            with self._asking():
                ready, _ = ray.wait(list(flying), num_returns=1, timeout=BREATH)
                if not ready:
                    continue
                stream = ready[0]
                piece = flying[stream]
                actor = piece.actor
                assert actor is not None
                try:
                    found = actor.get(next(stream))
                except StopIteration:
                    del flying[stream]
                    idle.append(actor)
                    continue
                except actor.lost as error:
                    del flying[stream]
                    actor.replace(piece.asked, error, lambda actor=actor: actor.get(self._opened(actor)))
                    idle.append(actor)
                    if (rest := piece.rest()).jobs:
                        again.append(rest)
                    continue
            if isinstance(found, Loaded):
                assert weights is not None
                self._toll.read(weights.version, found.seconds)
                continue
            for completion in found:
                actor.well()
                own = piece.original(completion)
                piece.done.add((own.request, own.sample))
                yield own

    def close(self) -> None:
        """Let go whoever draws in another thread: there will be nobody to ask."""
        self._closing = True
        with self._quiet:
            self._quiet.wait_for(lambda: self._asked == 0, timeout=10.0)

    @contextmanager
    def _asking(self) -> Generator[None, None, None]:
        """Within the block the actors are asked, unless they are about to end."""
        with self._quiet:
            if self._closing:
                raise BackendError("The run has ended, and its samplers with it.")
            self._asked += 1
        try:
            yield
        finally:
            with self._quiet:
                self._asked -= 1
                self._quiet.notify_all()

    def _cut(self, left: deque[tuple[int, list[int]]], most: int) -> Piece:
        """The next piece: whole requests, whose prompts are read once, until there are so many samples; of one that has
        more than that by itself a part."""
        jobs: list[tuple[int, int]] = []
        while left and len(jobs) < most:
            index, seeds = left.popleft()
            taken = len(seeds) if len(seeds) <= most else most - len(jobs)
            jobs += [(index, seed) for seed in seeds[:taken]]
            if rest := seeds[taken:]:
                left.appendleft((index, rest))
        return Piece(jobs)

    def _sent(
        self, piece: Piece, actor: Actor, requests: Sequence[Request], whom: str, weights: Published | None
    ) -> Any:
        piece.actor, piece.asked = actor, actor.now
        version, held = (None, []) if weights is None else (weights.version, [weights.reference])
        return actor.now.draw.options(num_returns="streaming").remote(version, held, whom, piece.requests(requests))


class RaySampler:
    """Draws what one `TorchSampler` would, the samples of a call divided over actors. May be used by several threads.

    A hook is sent along where it is strop's own and remembers nothing (a frozen dataclass). One from a user's file is
    code that the others may not have, and what one with a memory notes down there would never arrive here: both are
    refused.
    """

    hooks: ClassVar[bool] = True

    def __init__(
        self,
        pool: Pool,
        tokenizer: ChatTokenizer,
        context: int,
        weights: Callable[[], Published | None],
        *,
        whom: str = "policy",
        teacher: Sampler | None = None,
    ) -> None:
        """`weights()` are those to draw with."""
        self.pool = pool
        self.tokenizer = tokenizer
        self.context = context
        self.weights = weights
        self.whom = whom
        self.teacher = teacher

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continue each request once per seed, in the actors; yields each completion as it finishes."""
        for index, request in enumerate(requests):
            if request.hook is not None and not _can_be_sent(request.hook):
                raise BackendError(
                    f"request {index}: {type(request.hook).__name__} changes how tokens are drawn, and is none of the "
                    "hooks that can be sent to other processes. Leave out --cluster."
                )
        yield from self.pool.draw(requests, self.whom, self.weights())

    def now(self) -> "RaySampler":
        """The same with the weights as they are at this moment, whatever is learned later."""
        held = self.weights()
        teacher = self.teacher.now() if isinstance(self.teacher, RaySampler) else self.teacher
        return RaySampler(self.pool, self.tokenizer, self.context, lambda: held, whom=self.whom, teacher=teacher)


def _can_be_sent(hook: object) -> bool:
    settings: Any = getattr(type(hook), "__dataclass_params__", None)
    return type(hook).__module__.startswith("strop.") and settings is not None and settings.frozen
