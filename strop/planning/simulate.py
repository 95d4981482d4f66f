"""How samplers and a learner on machines of their own keep each other busy: a small simulation of measured costs.

What is simulated, for a staleness of `k`, is what `strop.ahead` does: draws follow one another, and so do steps of the
learner. When the learner comes to step `t`, the draws up to that of step `t + k` are asked for that are not yet, with
the weights as they are then, but none beyond the next pause (a checkpoint or an evaluation). Every draw begins with a
sync of the weights and ends when its longest answer is judged; at `k = 0` sampling and learning alternate.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from strop.errors import ConfigError
from strop.keys import Key

STEPS = 64
"""Steps that are simulated, unless somebody wants another number."""
Seconds = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Decode:
    """Seconds in which a sampler writes one token of each of `n` answers: `max(least, weights + n row, n work)`.

    >>> decode = Decode(weights=0.002, row=0.0001, work=0.0005, least=0.0025)
    >>> [round(float(decode(n)), 4) for n in (1, 6, 10)]
    [0.0025, 0.003, 0.005]
    """

    weights: float
    """Seconds to read the weights once."""
    row: float = 0.0
    """Seconds to read the keys and values of one answer."""
    work: float = 0.0
    """Seconds of one answer's operations."""
    least: float = 0.0
    """Seconds below which nothing goes: starting the operations."""

    def __call__(self, n: Any) -> Any:
        return np.maximum(self.least, np.maximum(self.weights + n * self.row, n * self.work))


@dataclass(frozen=True, slots=True)
class Costs:
    """What a step costs: measured, or planned."""

    lengths: tuple[int, ...]
    """Tokens of an answer; each number is as likely as the others."""
    attempts: int
    """Answers of a step."""
    decode: Decode
    prompt: float = 0.0
    """Seconds in which a sampler reads prompts, for each of its answers."""
    slots: int = 1 << 20
    """Answers that a sampler writes at once; further ones wait."""
    learn_token: float = 0.0
    """Seconds of the learner for each token that was written."""
    learn: float = 0.0
    """Seconds of the learner for each step, whatever is in it."""
    judge: float = 0.0
    """Seconds between a draw's last answer and the last verdict."""
    sync_bytes: float = 0.0
    """Bytes that each sampler is sent before a draw."""
    sync_rate: float = 1.0
    """Bytes per second, into a sampler and out of a sender."""
    senders: int = 1
    """How many send, each an equal part, to all samplers."""
    sync_fixed: float = 0.0
    """Seconds of a sync whatever is sent."""
    pauses: tuple[int, ...] = ()
    """At the multiples of these numbers of steps nothing is drawn ahead. What is done then is not counted."""

    def sync(self, samplers: int) -> float:
        """Seconds of a sync: what goes into a sampler, or out of a sender, whichever takes longer.

        >>> decode = Decode(weights=1.0)
        >>> Costs((1,), 1, decode, sync_bytes=6.0, sync_rate=2.0).sync(4)  # one sends to four
        12.0
        >>> Costs((1,), 1, decode, sync_bytes=6.0, sync_rate=2.0, senders=8).sync(4)
        3.0
        """
        return self.sync_fixed + max(1.0, samplers / self.senders) * self.sync_bytes / self.sync_rate


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run of so many samplers and a learner; numbers are means of a step, once the run is under way."""

    samplers: int
    staleness: int
    step: float
    """Seconds."""
    total: float
    """Seconds of all simulated steps, from the first draw on."""
    seconds: dict[str, float]
    """`sampling`, until the longest answer has ended; `judging`; `sync`; `learning`: how long each takes. From a
    staleness of 1 on learning and the others overlap."""
    busy: dict[str, float]
    """Share of the time that the `samplers` write, on average over them, and that the `learner` learns."""
    tokens: float
    """Written."""
    stale: float
    """Steps that were learned between the weights of a draw and the step that learned from it."""
    saved: dict[str, float]
    """Seconds that a step would be shorter if this took none: `sampling` with all answers of the mean length, `longest
    answers` (what they take beyond that), `judging`, `learning`, `sync`."""

    @property
    def bound(self) -> str:
        """What a step would be shortest without; `balance` where nothing by itself would save a hundredth of it."""
        name = max(self.saved, key=lambda name: self.saved[name])
        return name if self.saved[name] >= 0.01 * self.step else "balance"


def simulate(costs: Costs, samplers: int, staleness: int, *, steps: int = STEPS, seed: int = 0) -> Simulated:
    """Run it; the same seed draws the same answers, however many samplers there are.

    With constant costs a step takes `sampling + sync + learning` at a staleness of 0, and from 1 on the longer of
    `sampling + sync` and `learning`, where nothing pauses.

    Ten answers of 10 tokens, 0.1 seconds a token, on one sampler; 3 seconds to learn; 0.5 to sync. One after the other,
    and at once:

    >>> costs = Costs((10,), 10, Decode(weights=0.1), learn=3.0, sync_bytes=1.0, sync_rate=2.0)
    >>> [round(simulate(costs, 1, k).step, 6) for k in (0, 1)]
    [4.5, 3.0]
    >>> slow = Costs((10,), 10, Decode(weights=0.5), learn=3.0, sync_bytes=1.0, sync_rate=2.0)
    >>> [round(simulate(slow, 1, k).step, 6) for k in (0, 1)]
    [8.5, 5.5]
    >>> simulate(costs, 1, 1).bound, simulate(slow, 1, 1).bound
    ('learning', 'sampling')
    """
    if min(samplers - 1, staleness) < 0 or steps < staleness + 3:
        raise ConfigError(
            "A simulation needs at least one sampler, a staleness of 0 or more, and three steps more than that; got "
            f"{samplers}, {staleness}, {steps}."
        )
    if samplers > costs.attempts:
        raise ConfigError(
            f"{samplers} samplers cannot share {costs.attempts} answers of a step: most of them would have none. Next: "
            f"at most --samplers {costs.attempts}, or more answers: --set stages.0.problems=..."
        )
    sample, drawing, tokens = _drawn(costs, samplers, steps, seed)
    even = _drawn(replace(costs, lengths=(max(1, round(float(np.mean(costs.lengths)))),)), samplers, 1, seed)[0]
    sync = costs.sync(samplers)
    learn = costs.learn + costs.learn_token * tokens
    # from when on a draw may be asked for: that of the learner's step, or of the last pause
    asked = np.array([max(t - staleness, _paused(t, costs.pauses)) for t in range(steps)])

    def step(sample: Seconds, rest: float, learn: Seconds) -> float:
        return _pace(_learned(sample + rest, learn, asked), staleness, costs.pauses)

    rest, none = sync + costs.judge, np.zeros(steps)
    own, level = step(sample, rest, learn), np.minimum(sample, even[0])
    without = {
        "longest answers": step(level, rest, learn),
        "learning": step(sample, rest, none),
        "sync": step(sample, costs.judge, learn),
        "judging": step(sample, sync, learn),
    }
    saved = {name: own - seconds for name, seconds in without.items()}
    saved["sampling"] = without["longest answers"] - step(none, rest, learn)
    stale = np.arange(steps) - asked
    return Simulated(
        samplers=samplers,
        staleness=staleness,
        step=own,
        total=float(_learned(sample + rest, learn, asked)[-1]),
        seconds={
            "sampling": float(sample.mean()), "judging": costs.judge, "sync": sync, "learning": float(learn.mean()),
        },
        busy={"samplers": float(drawing.mean()) / own, "learner": float(learn.mean()) / own},
        tokens=float(tokens.mean()),
        stale=float(stale[_window(steps, staleness, costs.pauses)].mean()),
        saved=saved,
    )  # fmt: skip


def write(costs: Costs, lengths: Sequence[int]) -> float:
    """Seconds in which one sampler writes answers of these lengths, which enter in this order as slots get free.

    >>> costs = Costs((1,), 1, Decode(weights=1.0, row=0.5), slots=2)
    >>> write(costs, [3])  # three tokens alone
    4.5
    >>> write(costs, [3, 1])  # one together with the other answer, two alone
    5.0
    >>> write(costs, [3, 1, 1])  # the third answer takes the place of the second
    5.5
    """
    each = costs.decode(np.arange(min(costs.slots, len(lengths)) + 1)).tolist()
    clock, seconds, ends, waiting = 0, 0.0, [], list(reversed(lengths))
    while ends or waiting:
        while waiting and len(ends) < costs.slots:
            heapq.heappush(ends, clock + waiting.pop())
        seconds += (ends[0] - clock) * each[len(ends)]
        clock = ends[0]
        while ends and ends[0] == clock:
            heapq.heappop(ends)
    return seconds


def _drawn(costs: Costs, samplers: int, steps: int, seed: int) -> tuple[Seconds, Seconds, Seconds]:
    """Of each step: seconds until the last answer, seconds that samplers write on average, tokens written."""
    # all are dealt in equal shares, before anybody knows how long they will be
    parts = [(i * costs.attempts // samplers, (i + 1) * costs.attempts // samplers) for i in range(samplers)]
    seconds, busy, tokens = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    known = np.array(costs.lengths)
    for step in range(steps):
        lengths = Key.root(seed).fold("lengths", step).rng().choice(known, costs.attempts)
        took = _parts(costs, lengths, parts)
        seconds[step], busy[step], tokens[step] = max(took), sum(took) / samplers, lengths.sum()
    return seconds, busy, tokens


def _parts(costs: Costs, lengths: np.ndarray, parts: Sequence[tuple[int, int]]) -> list[float]:
    """Seconds in which a sampler draws each part."""
    found: list[float] = []
    for begin, end in parts:
        own = lengths[begin:end]
        if len(own) > costs.slots:
            seconds = write(costs, own.tolist())
        else:
            # nobody waits: shorter ones end first, and until then all that are longer are written beside them
            ends = np.sort(own)
            going = np.arange(len(own), 0, -1)
            seconds = float((np.diff(ends, prepend=0) * costs.decode(going)).sum())
        found.append(seconds + costs.prompt * len(own))
    return found


def _paused(step: int, pauses: Sequence[int]) -> int:
    """The last step up to this one that begins after a pause."""
    return max((step // every * every for every in pauses), default=0)


def _learned(draw: Seconds, learn: Seconds, asked: np.ndarray) -> Seconds:
    """When each step is learned, where draw `t` is asked for as the learner comes to step `asked[t]`."""
    learned, drawn = np.zeros(len(draw) + 1), 0.0
    for t in range(len(draw)):
        # `learned[t]` is when step t - 1 is learned
        drawn = max(drawn, learned[asked[t]]) + draw[t]
        learned[t + 1] = max(drawn, learned[t]) + learn[t]
    return learned[1:]


def _window(steps: int, staleness: int, pauses: Sequence[int]) -> slice:
    """Steps that stand for all: without pauses those of a run that is under way, else all between two pauses."""
    longest = max((every for every in pauses if every <= steps), default=0)
    return slice(0, steps // longest * longest) if longest else slice(max(staleness, steps // 4) + 1, steps)


def _pace(learned: Seconds, staleness: int, pauses: Sequence[int]) -> float:
    which = _window(len(learned), staleness, pauses)
    begin = learned[which.start - 1] if which.start else 0.0
    return float((learned[which.stop - 1] - begin) / (which.stop - which.start))
