"""The sampler's continuous batch, kept running: requests join and leave while others are being drawn."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch

from strop.backends.torch.attention import NAME
from strop.backends.torch.continuous import ContinuousBatch
from strop.backends.torch.fused import FusedStep
from strop.backends.torch.jobs import Jobs
from strop.backends.torch.sampler import TorchSampler
from strop.backends.torch.shadow import shadow
from strop.models.language_model import vocab_of
from strop.records import Request
from strop.serve.source import News

COLUMNS = ("request", "sample", "seed", "room", "temperature", "top_k", "top_p", "stop_set")
STOP_SETS = 64
"""Different sets of stop ids that are remembered; beyond that they are forgotten when nothing runs."""


@dataclass(eq=False, slots=True)
class Call:
    """One request under way."""

    request: Request
    growing: bool
    """Whether its caller wants to hear of every token."""
    tag: Any = None
    """The caller's own."""
    jobs: dict[int, int] = field(default_factory=dict)
    """Unfinished samples by job."""
    told: dict[int, int] = field(default_factory=dict)
    """How many tokens of each job its caller knows."""
    row: int = -1
    """Its place in the table of prompts."""
    left: int = 0
    """Samples that its caller still waits for."""


class LiveBatch:
    """A table of at most `capacity` samples, of which as many as the sampler has slots are drawn in each step.

    Numbers are those of `TorchSampler.generate`: a token depends on its seed and its place in the sample alone.
    """

    def __init__(self, sampler: TorchSampler, capacity: int) -> None:
        self.sampler = sampler
        net = sampler.model.net
        self.vocab = vocab_of(net)
        self.ends = sampler.tokenizer.eos_ids
        self.prompts: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * capacity
        self.stops: dict[tuple[int, ...], int] = {}
        jobs = Jobs.of([], sampler.context, self.vocab, self.ends)
        table = {name: np.zeros(capacity, dtype=getattr(jobs, name).dtype) for name in COLUMNS}
        self.jobs = replace(jobs, prompts=cast(Any, self.prompts), hooks=(None,) * capacity, **cast(Any, table))
        fused = FusedStep.of(net, sampler.dtype) if sampler.path == "fused" else None
        self.batch = ContinuousBatch(shadow(net, sampler.dtype, NAME), fused, self.jobs, sampler.slots, sampler.context)
        self.batch.waiting.clear()
        self.batch.unplaced = np.zeros(capacity, dtype=np.int64)
        self.free_jobs, self.free_rows = list(range(capacity)), list(range(capacity))
        self.owner: dict[int, Call] = {}
        """Whose each job under way is."""
        self.calls: dict[int, Call] = {}
        """The requests under way by their row."""

    @property
    def busy(self) -> bool:
        return bool(self.owner)

    def fits(self, call: Call) -> bool:
        """Whether the table has room for a request."""
        return len(call.request.seeds) <= len(self.free_jobs)

    def add(self, call: Call) -> None:
        """Let a request's samples wait for slots."""
        own = Jobs.of([call.request], self.sampler.context, self.vocab, self.ends)
        call.row = self.free_rows.pop()
        self.calls[call.row] = call
        self.prompts[call.row] = own.prompts[0]
        stop_set = self._stop_set(call.request)
        for sample in range(len(own)):
            job = self.free_jobs.pop()
            for name in COLUMNS:
                getattr(self.jobs, name)[job] = getattr(own, name)[sample]
            self.jobs.request[job], self.jobs.stop_set[job] = call.row, stop_set
            call.jobs[job], call.told[job] = sample, 0
            self.owner[job] = call
            self.batch.waiting.append(job)
        self.batch.unplaced[call.row] = len(own)

    def drop(self, call: Call) -> None:
        """Let go of what is unfinished of a request."""
        if call.jobs:
            self.batch.leave(call.jobs)
            for job in list(call.jobs):
                self._free(call, job)

    def advance(self) -> Iterator[tuple[Call, News]]:
        """Draw one token for every sample that has a slot, and say what is new."""
        batch = self.batch
        with torch.inference_mode():
            finished = batch.advance()
        for done in finished:
            call = self.calls[done.request]
            job = next(job for job, sample in call.jobs.items() if sample == done.sample)
            told = call.told[job]
            whole = replace(done, request=0)
            self._free(call, job)
            yield call, News(done.sample, done.tokens[told:].tolist(), done.logp[told:].tolist(), whole)
        if not any(call.growing for call in self.calls.values()):
            return
        for place in (batch.job[: batch.rows] >= 0).nonzero()[0]:
            job = int(batch.job[place])
            call = self.owner[job]
            if call.growing:
                new = slice(batch.begin[place] + call.told[job], batch.cache.column)
                drawn = batch.tokens[place, new].tolist()
                call.told[job] += len(drawn)
                yield call, News(call.jobs[job], drawn, batch.logp[place, new].tolist())

    def _free(self, call: Call, job: int) -> None:
        del call.jobs[job], call.told[job], self.owner[job]
        self.free_jobs.append(job)
        if not call.jobs:
            self.free_rows.append(call.row)
            del self.calls[call.row]

    def _stop_set(self, request: Request) -> int:
        ids = tuple(sorted({int(i) for i in request.stop}))
        if not self.owner and len(self.stops) > STOP_SETS:
            self.stops.clear()
            self.jobs.stop_set[:] = 0
        if ids not in self.stops:
            self.stops[ids] = len(self.stops)
            # an empty row is what every job without stop ids of its own has
            rows = np.stack([np.isin(np.arange(self.vocab), each) for each in self.stops])
            self.jobs = self.batch.jobs = replace(self.jobs, stops=rows if rows.any() else None)
        return self.stops[ids]


class Rounds:
    """For models that no continuous batch fits: everything that waits is drawn to its end, then what came meanwhile."""

    def __init__(self, sampler: TorchSampler) -> None:
        self.sampler = sampler
        self.waiting: list[Call] = []

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def fits(self, call: Call) -> bool:
        """Whatever waits is in the next round."""
        return True

    def add(self, call: Call) -> None:
        """Let a request wait for the next round."""
        self.waiting.append(call)

    def drop(self, call: Call) -> None:
        """Let go of a request that is not being drawn yet."""
        if call in self.waiting:
            self.waiting.remove(call)

    def advance(self) -> Iterator[tuple[Call, News]]:
        """One round."""
        calls, self.waiting = self.waiting, []
        for done in self.sampler.generate([call.request for call in calls]):
            whole = replace(done, request=0)
            yield calls[done.request], News(done.sample, done.tokens.tolist(), done.logp.tolist(), whole)


def batch_of(sampler: TorchSampler, capacity: int) -> LiveBatch | Rounds:
    """What fits the model."""
    return Rounds(sampler) if sampler.path == "waves" else LiveBatch(sampler, capacity)
