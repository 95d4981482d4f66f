"""A plan for samplers and a learner on machines of their own: from a machine's rates to what a simulation needs."""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from strop.episodes import replays
from strop.errors import ConfigError
from strop.models.shapes import parameters
from strop.planning.estimate import (
    Plan,
    attempts_of,
    decode_of,
    forward,
    in_bytes,
    in_seconds,
    longest_of,
    plan,
    token_bytes,
)
from strop.planning.machines import Machine
from strop.planning.simulate import STEPS, Costs, Simulated, simulate
from strop.recipe import Recipe, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

QUANTILES = 1024
"""Lengths of answers that stand for all."""
FEW = 16
"""Simulated steps that tell one division from another."""


@dataclass(frozen=True, slots=True)
class Divided:
    """A step of a recipe where some accelerators sample and others learn."""

    learner: Plan
    """Of each accelerator that learns."""
    costs: Costs
    sampler_memory: float
    """Bytes that each accelerator that samples needs."""
    found: Simulated

    @property
    def learner_memory(self) -> float:
        """Bytes that each accelerator that learns needs: the plan's, without what sampling takes."""
        return _learner_memory(self.learner)

    @property
    def rate(self) -> float:
        """Tokens a second, of all accelerators together."""
        return self.found.tokens / self.found.step

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        found, machine = self.found, self.learner.machine
        return {
            "model": self.learner.model, "machine": machine.name, "samplers": found.samplers, "learners": machine.count,
            "staleness": found.staleness, "step": found.step, "seconds": found.seconds, "busy": found.busy,
            "stale": found.stale, "bound": found.bound, "saved": found.saved, "tokens": found.tokens,
            "tokens_per_second": self.rate, "sync": self.costs.sync_bytes,
            "memory": {"sampler": self.sampler_memory, "learner": self.learner_memory, "available": machine.memory},
            "slots": self.costs.slots,
        }  # fmt: skip


def divide(
    recipe: Recipe,
    config: "PreTrainedConfig",
    machine: Machine,
    samplers: int,
    staleness: int,
    *,
    learners: int | None = None,
    prompt: int = 128,
    mean: int | None = None,
) -> Divided:
    """What a step takes where so many of a machine's accelerators sample and `learners` learn, by default all others.

    Each sampler has the whole model; the weights, moments and rows of the learner are divided as in `plan`. Lengths of
    answers have the mean that is given and the recipe's limit, and are otherwise as random as that allows
    (`spread_lengths`). Judging is not in it.
    """
    learners = machine.count - samplers if learners is None else learners
    made = _costs(recipe, config, machine, samplers, learners, prompt, mean)
    return Divided(*made, simulate(made[1], samplers, staleness, steps=max(STEPS, 4 * staleness)))


def best(
    recipe: Recipe,
    config: "PreTrainedConfig",
    machine: Machine,
    staleness: int,
    *,
    prompt: int = 128,
    mean: int | None = None,
) -> Divided:
    """The division with the shortest step among those that fit: any of up to 16 accelerators; of more in whole hosts,
    or with 1, 2 or 4 that learn."""
    hosts = range(machine.per_host, machine.count, machine.per_host)
    tried = range(1, machine.count) if machine.count <= 16 else (1, 2, 4, *hosts)
    found: list[Divided] = []
    for learners in tried:
        samplers = machine.count - learners
        if samplers <= attempts_of(_widest(recipe)):
            made = _costs(recipe, config, machine, samplers, learners, prompt, mean)
            few = simulate(made[1], samplers, staleness, steps=max(FEW, 2 * staleness))
            found.append(Divided(*made, few))
    fitting = [each for each in found if fits(each)]
    if not fitting:
        raise ConfigError(
            f"No division of {machine.count} x {machine.name} has room for {recipe.model} with {recipe.name}, or there "
            f"are fewer answers than samplers. What each part takes: strop plan --model {recipe.model} --recipe "
            f"{recipe.name} --gpus {machine.count}x{machine.name}"
        )
    first = min(fitting, key=lambda each: each.found.step)
    return replace(first, found=simulate(first.costs, first.found.samplers, staleness, steps=max(STEPS, 4 * staleness)))


def _costs(
    recipe: Recipe, config: "PreTrainedConfig", machine: Machine, samplers: int, learners: int, prompt: int,
    mean: int | None,
) -> tuple[Plan, Costs, float]:  # fmt: skip
    """The plan of the learner, what a step costs, and the bytes that each sampler needs."""
    stage = _widest(recipe)
    if replays(stage.episode):
        raise ConfigError(
            f"{recipe.name} learns from data: there is nothing to sample. Leave out --samplers: strop plan --recipe "
            f"{recipe.name} --gpus {machine.count}x{machine.name}"
        )
    if min(samplers, learners) < 1:
        raise ConfigError(
            f"--samplers {samplers} of {machine.count} x {machine.name} leaves {learners} to learn; both need at least "
            f"one. Next: --samplers best with at least two, such as --gpus 8xH200"
        )
    longest, attempts = longest_of(stage), attempts_of(stage)
    response = min(mean or longest, longest)
    learning = plan(recipe, config, replace(machine, count=learners), prompt=prompt, mean=response)
    size = 2 if learning.precision == "bfloat16" else 4
    weights = float(size * parameters(config)[0])
    # a row for each answer, as long as it may get, in what the weights leave free
    row = float((prompt + longest) * token_bytes(config, size))
    slots = int(min(recipe.slots, attempts, max(1.0, (0.9 * machine.memory - weights) // row)))
    seconds = learning.seconds
    costs = Costs(
        lengths=spread_lengths(response, longest),
        attempts=attempts,
        decode=decode_of(config, machine, size, prompt + response / 2),
        prompt=forward(config, machine, size, stage.problems * prompt, prompt / 2) / attempts,
        slots=slots,
        learn_token=seconds["learn"] / (attempts * response),
        learn=seconds["update"] + seconds.get("exchange", 0.0),
        sync_bytes=learning.sync,
        sync_rate=machine.link if machine.count <= machine.per_host else machine.network,
        senders=learners,
        pauses=tuple(sorted({every for every in (recipe.checkpoint_every, recipe.heldout.every) if every})),
    )
    return learning, costs, weights + slots * row


def _widest(recipe: Recipe) -> Stage:
    return max(recipe.stages, key=lambda each: attempts_of(each) * longest_of(each))


def fits(divided: Divided) -> bool:
    return max(divided.sampler_memory, divided.learner_memory) <= divided.learner.machine.memory


@functools.cache
def spread_lengths(mean: int, longest: int) -> tuple[int, ...]:
    """Lengths as random as a mean and a limit leave them: quantiles of the exponential distribution, cut at the limit,
    whose mean that is. Where the mean is the limit all have that length.

    >>> lengths = spread_lengths(100, 1000)
    >>> round(sum(lengths) / len(lengths)), max(lengths) / 100 > 6
    (100, True)
    >>> set(spread_lengths(50, 50))
    {50}
    """
    if mean >= longest:
        return (longest,) * QUANTILES
    share = (np.arange(QUANTILES) + 0.5) / QUANTILES

    def quantiles(rate: float) -> np.ndarray:
        if abs(rate) < 1e-9:
            return share * longest
        # of the density exp(-rate x / longest) between 0 and the limit; a negative rate prefers long ones
        return -np.log1p(share * np.expm1(-rate)) / rate * longest

    low, high = -500.0, 500.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if float(quantiles(middle).mean()) > mean else (low, middle)
    return tuple(int(each) for each in np.clip(np.rint(quantiles(low)), 1, longest))


def _learner_memory(found: Plan) -> float:
    own = found.memory
    # FSDP divides state as `plan` does; a copy to sample from is the samplers' own
    return replace(found, memory=own | {"cache": 0.0, "sampler": 0.0, "engine": 0.0}).peak


def table(divided: Divided) -> list[tuple[str, str]]:
    """Rows to print: what, and how much."""
    found, learning = divided.found, divided.learner
    machine, costs, seconds = learning.machine, divided.costs, found.seconds
    bound = "nothing by itself: sampling and learning take equally long"
    if found.bound != "balance":
        bound = f"{found.bound}: without it a step would be {in_seconds(found.saved[found.bound])} shorter"
    more = "" if fits(divided) else ", MORE THAN THERE IS"
    accelerators = found.samplers + machine.count
    return [
        ("model", f"{learning.model}, {learning.weights / 1e6:,.0f} M weights, {learning.precision}"),
        (
            "machine",
            f"{found.samplers} x {machine.name} sample, {machine.count} learn, {in_bytes(machine.memory)} each",
        ),
        ("memory: of a sampler", f"{in_bytes(divided.sampler_memory)} for {costs.slots} answers at once"),
        ("memory: of a learner", f"{in_bytes(divided.learner_memory)}{more}"),
        ("answers of a step", f"{costs.attempts:,}, of up to {max(costs.lengths):,} tokens"),
        ("time: sampling", f"{in_seconds(seconds['sampling'])}, until the longest answer has ended"),
        ("time: sync", f"{in_seconds(seconds['sync'])}, {in_bytes(costs.sync_bytes)} to each sampler"),
        ("time: learning", in_seconds(seconds["learning"])),
        ("time: a step", in_seconds(found.step)),
        ("staleness", f"{found.stale:.2f} steps, at most {found.staleness}"),
        ("busy: samplers", f"{100 * found.busy['samplers']:.0f} %"),
        ("busy: learner", f"{100 * found.busy['learner']:.0f} %"),
        ("what bounds it", bound),
        ("tokens written", f"{divided.rate:,.0f} a second, {divided.rate / accelerators:,.0f} by each of all"),
    ]
