"""Memory and time of one step of a recipe on a machine."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strop.episodes import replays
from strop.models.shapes import parameters
from strop.planning.machines import GiB, Machine
from strop.planning.simulate import Decode
from strop.recipe import Recipe, Stage

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

_FLAT = 1.1
"""Memory that allocators lose between blocks, as a factor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step of the widest stage needs of each accelerator."""

    model: str
    machine: Machine
    weights: int
    """Parameters of the model."""
    precision: str
    memory: dict[str, float]
    """Bytes by what holds them, at the moment each is largest."""
    seconds: dict[str, float]
    """By phase; phases follow one another."""
    tokens: dict[str, float]
    """Per step: `written`, and `read` of prompts."""
    sync: float
    """Bytes that go to each sampler after a step."""

    @property
    def peak(self) -> float:
        """Bytes at the worst moment: sampling and learning hold different things, the state of training both."""
        own = self.memory
        return own["state"] + max(
            own["cache"] + own["sampler"], own["activations"] + own["logits"] + own["new gradient"]
        ) * _FLAT + own["engine"]  # fmt: skip

    @property
    def fits(self) -> bool:
        return self.peak <= self.machine.memory

    @property
    def step(self) -> float:
        """Seconds."""
        return sum(self.seconds.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {
            "model": self.model, "machine": self.machine.name, "count": self.machine.count, "weights": self.weights,
            "precision": self.precision, "memory": self.memory, "peak": self.peak, "available": self.machine.memory,
            "fits": self.fits, "seconds": self.seconds, "step": self.step, "tokens": self.tokens,
            "tokens_per_second": self.tokens["written"] / self.step if self.step else 0.0, "sync": self.sync,
        }  # fmt: skip


def plan(
    recipe: Recipe, config: "PreTrainedConfig", machine: Machine, *, prompt: int = 128, mean: int | None = None
) -> Plan:
    """What `recipe` needs with a model of this shape.

    `prompt` is the tokens of a prompt; `mean` the tokens of a response, by default as many as the recipe allows.
    Memory follows from what the learner and the sampler hold, the activations are counted by running the learner's
    forward pass on two layers of this width; time is operations and bytes over the machine's rates.
    """
    dtype = _dtype(recipe, machine)
    every, used = parameters(config)
    every_layer = _layer(config, every)
    stage = max(recipe.stages, key=lambda each: attempts_of(each) * longest_of(each))
    size, shards = dtype.itemsize, machine.count
    longest = longest_of(stage)
    response = min(mean or longest, longest)
    attempts = attempts_of(stage)
    trained = every if recipe.adapter is None else _adapter(config, recipe)

    # answers that one of them writes at once
    together = 0.0 if replays(stage.episode) else min(recipe.slots, attempts / shards)
    held = state(recipe, config, dtype) / shards
    if stage.needs & {"ref_logp", "ref_logits"} and recipe.adapter is None:
        held += size * every / shards
    memory = {
        "state": held,
        "new gradient": size * trained / shards + (every_layer * size * 2 if shards > 1 else 0.0),
        "activations": _activations(recipe, stage, config, dtype, prompt, response),
        "logits": _logits(recipe, stage, config),
        "cache": together * (prompt + longest) * token_bytes(config, size),
        "sampler": together * config.get_text_config().vocab_size * 4 * 4,
        "engine": size * every if recipe.sampler == "vllm" or shards > 1 else 0.0,
    }
    return Plan(
        model=recipe.model, machine=machine, weights=every, precision=str(dtype).removeprefix("torch."),
        memory=memory, seconds=_seconds(recipe, stage, config, machine, dtype, used, trained, prompt, response),
        tokens={"written": float(attempts * response), "read": float(stage.problems * prompt)},
        sync=float(size * every),
    )  # fmt: skip


def state(recipe: Recipe, config: "PreTrainedConfig", dtype: "torch.dtype") -> float:
    """Bytes of the weights in compute precision and of what trains them: masters, gradient and both moments in fp32, of
    all weights or of an adapter's alone.

    >>> import torch
    >>> from strop.models.shapes import config_of
    >>> from strop.recipes.grpo import grpo
    >>> nano = config_of("nano")
    >>> [state(grpo(), nano, each) / parameters(nano)[0] for each in (torch.float32, torch.bfloat16)]
    [16.0, 18.0]
    """
    every, _ = parameters(config)
    if recipe.adapter is None:
        # in fp32 the masters are the weights
        return float((16 + (dtype.itemsize if dtype.itemsize < 4 else 0)) * every)
    stored = {None: dtype.itemsize, "int8": 1.0, "int4": 0.5}[recipe.adapter.quantise]
    return 16 * _adapter(config, recipe) + stored * every


def token_bytes(config: "PreTrainedConfig", itemsize: int) -> int:
    """Bytes that one token takes in the attention cache: keys and values of every layer.

    >>> from strop.models.shapes import config_of
    >>> token_bytes(config_of("Qwen2.5-1.5B"), 2)  # 2 * 28 layers * 2 heads * 128 wide * 2 bytes
    28672
    """
    text: Any = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * width * itemsize


def _dtype(recipe: Recipe, machine: Machine) -> "torch.dtype":
    import torch

    from strop.backends.torch.precision import resolve

    if recipe.precision == "auto":
        return resolve("auto") if machine.name == "cpu" else torch.bfloat16
    return torch.bfloat16 if recipe.precision == "bf16" else torch.float32


def attempts_of(stage: Stage) -> int:
    """Of a step."""
    return stage.problems * stage.samples


def longest_of(stage: Stage) -> int:
    """Most tokens of a response."""
    return int(getattr(stage.episode, "max_tokens", 0) or 256)


def _layer(config: Any, every: int) -> float:
    text = config.get_text_config()
    tied = 1 if text.tie_word_embeddings else 2
    return (every - tied * text.vocab_size * text.hidden_size) / text.num_hidden_layers


def _adapter(config: Any, recipe: Recipe) -> int:
    """Weights of an adapter on all linear layers: rank times the sum of both widths of each."""
    text, adapter = config.get_text_config(), recipe.adapter
    assert adapter is not None
    hidden, wide = text.hidden_size, text.intermediate_size
    width = getattr(text, "head_dim", None) or hidden // text.num_attention_heads
    queries = text.num_attention_heads * width
    keys = (getattr(text, "num_key_value_heads", None) or text.num_attention_heads) * width
    both = 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + wide)
    return adapter.rank * both * text.num_hidden_layers


def _activations(recipe: Recipe, stage: Stage, config: Any, dtype: "torch.dtype", prompt: int, response: int) -> float:
    from strop.planning.kept import kept

    length = prompt + response
    layer, rest = kept(config, dtype, recipe.gradient_checkpointing, length)
    tokens = min(max(recipe.token_budget, length), attempts_of(stage) * response + stage.problems * prompt)
    once = 0.0
    if recipe.gradient_checkpointing:
        # the layer that is run again holds what it would have kept
        once = kept(config, dtype, False, length)[0]
    return tokens * (layer * config.get_text_config().num_hidden_layers + rest + once)


def _logits(recipe: Recipe, stage: Stage, config: Any) -> float:
    """Logits that exist at once, with their probabilities and gradient, in fp32."""
    from strop.backends.torch import learner, logprobs

    vocabulary = config.get_text_config().vocab_size
    if any(name.endswith("logits") for term in stage.terms for name in term.objective.needs):
        return 3.0 * 4 * min(learner._LOGITS, recipe.token_budget * vocabulary)  # pyright: ignore[reportPrivateUsage]
    kept = recipe.token_budget * vocabulary
    kept = kept if kept <= logprobs._KEEP else 0  # pyright: ignore[reportPrivateUsage]
    return 4.0 * (kept + 3 * max(logprobs._CHUNK, vocabulary))  # pyright: ignore[reportPrivateUsage]


def _seconds(
    recipe: Recipe, stage: Stage, config: Any, machine: Machine, dtype: "torch.dtype", used: int, trained: int,
    prompt: int, response: int,
) -> dict[str, float]:  # fmt: skip
    shards, attempts, size = machine.count, attempts_of(stage), dtype.itemsize
    seconds: dict[str, float] = {}
    if not replays(stage.episode):
        mine = attempts / shards
        waves = math.ceil(mine / recipe.slots)
        one = decode_of(config, machine, size, prompt + response / 2)(mine / waves)
        seconds["read prompts"] = forward(config, machine, size, stage.problems * prompt / shards, prompt / 2)
        seconds["write"] = waves * response * float(one)
    tokens = (attempts * response + stage.problems * prompt) / shards
    once = forward(config, machine, size, tokens, (prompt + response) / 2)
    backward = 2.0 if trained > used / 2 else 1.0
    passes = stage.epochs * (1 + backward + (1 if recipe.gradient_checkpointing else 0))
    noted = len(stage.needs & {"ref_logp", "teacher_logp"})
    seconds["learn"] = (passes + noted) * once
    # masters, gradient and both moments are read, all but the gradient written
    seconds["update"] = stage.epochs * stage.minibatches * 28 * trained / shards / _bandwidth(machine)
    if shards > 1:
        line = machine.link if shards <= machine.per_host else machine.network
        # weights are gathered in both passes and gradients scattered, for each micro-batch
        parts = max(1, math.ceil(tokens / recipe.token_budget)) * stage.epochs
        seconds["exchange"] = parts * (2 * size + 4) * used / line
        seconds["sync"] = size * used / line
    return seconds


def forward(config: "PreTrainedConfig", machine: Machine, size: int, tokens: float, context: float) -> float:
    """Seconds of a forward pass over tokens with so many before them on average, in numbers of so many bytes: two
    operations for each weight, and attention."""
    text: Any = config.get_text_config()
    operations = tokens * (2 * parameters(config)[1] + 2 * text.num_hidden_layers * text.hidden_size * context)
    return operations / ((machine.bf16 if size == 2 else machine.fp32) * machine.utilisation)


def decode_of(config: "PreTrainedConfig", machine: Machine, size: int, context: float) -> Decode:
    """Seconds of one token of answers that have so many tokens before them on average."""
    return Decode(
        weights=size * parameters(config)[1] / _bandwidth(machine),
        row=context * token_bytes(config, size) / _bandwidth(machine),
        work=forward(config, machine, size, 1, context),
        least=machine.launch * config.get_text_config().num_hidden_layers,
    )


def _bandwidth(machine: Machine) -> float:
    return machine.bandwidth * min(1.0, 2 * machine.utilisation)


def table(found: Plan) -> list[tuple[str, str]]:
    """Rows to print: what, and how much."""
    memory = [(f"memory: {name}", in_bytes(value)) for name, value in found.memory.items() if value]
    seconds = [(f"time: {name}", in_seconds(value)) for name, value in found.seconds.items()]
    per_second = found.tokens["written"] / found.step
    return [
        ("model", f"{found.model}, {found.weights / 1e6:,.0f} M weights, {found.precision}"),
        ("machine", f"{found.machine.count} x {found.machine.name}, {in_bytes(found.machine.memory)} each"),
        *memory,
        ("memory: peak of each", f"{in_bytes(found.peak)}{'' if found.fits else ', MORE THAN THERE IS'}"),
        *seconds,
        ("time: a step", in_seconds(found.step)),
        ("tokens written", f"{found.tokens['written']:,.0f} a step, {per_second:,.0f} a second"),
    ]


def in_bytes(value: float) -> str:
    """To be read: MiB or GiB."""
    return f"{value / GiB:,.2f} GiB" if value >= GiB / 10 else f"{value / 2**20:,.1f} MiB"


def in_seconds(value: float) -> str:
    """To be read: ms or s."""
    return f"{value:,.1f} s" if value >= 1 else f"{value * 1e3:,.2f} ms"
