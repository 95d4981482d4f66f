"""A recipe: everything a run needs to know, frozen, and nothing else.

A recipe is a list of stages; a stage names one piece for each step of the loop in `flow.py`. Recipes are made by the
functions in `recipes/` or by a user's own, changed by path (`stages.0.objective.high=0.3`), and written in full into
the run folder, from where they load again.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from strop import catalogue
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError, did_you_mean
from strop.piece import address, build, dump, fields, is_piece, piece
from strop.records import Origin

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@piece
class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), a warm-up, a schedule, a norm bound."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    """Peak learning rate."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps of linear rise from lr/warmup to lr."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """What follows the warm-up."""
    floor: Share = 0.0
    """Where cosine and linear end, as a share of lr."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Applied to matrices only: not to norms, biases or other vectors."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest gradient norm; None leaves it alone."""
    head_rate: Annotated[float, Field(gt=0)] = 1.0
    """Learning rate of heads beside the model (a value head), as a multiple of `lr`: they have a longer way to go."""

    def rate(self, step: int, total: int) -> float:
        """Learning rate of optimiser step `step` (from 0) of `total`.

        >>> [round(AdamW(lr=1.0, warmup=2, schedule="cosine").rate(s, 6), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
        """
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        shape = 0.5 * (1 + math.cos(math.pi * done)) if self.schedule == "cosine" else 1 - done
        return self.lr * (self.floor + (1 - self.floor) * shape)


@piece
class LoRA:
    """Train low-rank adapters beside frozen weights (Hu et al., arXiv:2106.09685): `W + alpha / rank * B A`.

    Checkpoints hold the adapter alone, and the reference is the model without it. A rate about ten times that of all
    weights does for it (Schulman et al., "LoRA Without Regret", 2025).
    """

    rank: Positive = 16
    """Rows of A, columns of B."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """None takes twice the rank."""
    targets: tuple[str, ...] = ()
    """Names of linear layers, such as q_proj; empty takes all but the output layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is left out in each optimiser step; never when sampling."""
    quantise: Literal["int8", "int4"] | None = None
    """What the frozen weights are held in (QLoRA); None leaves them in the compute precision."""

    @property
    def scale(self) -> float:
        """Alpha, as a number."""
        return 2.0 * self.rank if self.alpha is None else self.alpha


@piece
class Heldout:
    """The measure that training never sees: fresh problems, judged by the verifier alone, whatever the rewards."""

    problems: Positive = 512
    """How many, before the first and after the last step."""
    every: Annotated[int, Field(ge=0)] = 10
    """Steps between measurements during the run; 0 measures only before and after."""
    quick: Positive = 128
    """How many during the run."""
    episode: Any = dataclasses.field(default_factory=SingleTurn)
    """How one answer to each problem is drawn."""


@piece
class Term:
    """One of several losses that are added up."""

    objective: Any
    weight: float = 1.0
    """What its average is multiplied by."""
    origins: tuple[Origin, ...] = ()
    """Whose attempts it is taken over, and averaged over: `policy`, `expert`, `replay`, `teacher`; empty takes all."""
    above: float | None = None
    """Only attempts with a higher reward than this, and averaged over those; None takes all."""
    average: Any = None
    """None takes the stage's."""


@piece
class Stage:
    """One turn of the loop, as often as `steps` says."""

    name: str
    steps: Annotated[int, Field(ge=0)]
    objective: Any
    """A piece, or several as `Term`s: other weights, other attempts, other averages."""
    average: Any
    curriculum: Any
    episode: Any
    rewards: tuple[Any, ...] = ()
    """Their parts are added up."""
    advantage: Any = None
    """None gives every attempt the advantage 1 (supervised stages)."""
    compared: tuple[Origin, ...] = ("policy",)
    """Whose attempts get an advantage and count in their group's statistics; all others have the advantage 1."""
    credit: Any = None
    """How an attempt's advantage is spread over its tokens; None gives it to each of them."""
    verifier: Any = None
    """None lets the task judge."""
    curator: Any = None
    controllers: tuple[Any, ...] = ()
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    problems: Positive = 32
    """Problems in a step."""
    samples: Positive = 8
    """Attempts at each problem."""
    minibatches: Positive = 1
    """Optimiser steps a batch is divided into."""
    epochs: Positive = 1
    """How often a batch is gone through."""
    reference: Annotated[int, Field(ge=0)] = 0
    """Which reference: the first stage that needs one freezes the weights it starts from, and whenever the number rises
    the weights of that moment take their place."""
    forget: Annotated[int, Field(ge=0)] = 0
    """Whenever the number rises, the optimiser's moments begin at zero."""
    restart: bool = False
    """Go back to the weights the run began with before learning from each step's attempts: what the present weights
    wrote is learned from scratch (STaR). Optimiser moments begin anew, too; a reference frozen here is the weights the
    run began with."""

    @property
    def terms(self) -> tuple[Term, ...]:
        """What is minimised, each with its average."""
        return terms(self.objective, self.average)

    @property
    def needs(self) -> frozenset[str]:
        """What the learner must compute beside log-probabilities."""
        return self.notes.union(*(term.objective.needs for term in self.terms))

    @property
    def by_term(self) -> bool:
        """Whether a controller wants to know each term's own gradient."""
        return any("term_gradients" in getattr(controller, "needs", ()) for controller in self.controllers)

    @property
    def notes(self) -> frozenset[str]:
        """Numbers of each token that rewards, credit, curator and objectives want noted before anything changes."""
        wanted = [getattr(piece, "needs", ()) for piece in (*self.rewards, self.credit, self.curator)]
        wanted += [getattr(term.objective, "notes", ()) for term in self.terms]
        return frozenset().union(*wanted)


@piece
class Mismatch:
    """How far the sampler's distribution may be from the learner's, as k3 estimate of their KL in nats per token."""

    warn: Annotated[float, Field(gt=0)] = 0.05
    """Above it the run says so."""
    stop: Annotated[float, Field(gt=0)] | None = 1.0
    """Above it the run stops: its attempts are another model's. None never stops."""


@piece
class Recipe:
    """A complete run."""

    name: str
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    task: Any
    model: str = "nano"
    """`nano`, `micro`, `mini`, a folder in the Hugging Face format, or a name on the hub."""
    teacher: str = ""
    """The model that distillation learns from, named like `model`, or `self`: the policy as it is at each moment. Where
    distributions are compared and not only texts, its tokenizer must be the policy's."""
    sampler: str = ""
    """Who writes the attempts that are learned from: empty is the policy itself, `vllm` the policy drawn from with vLLM
    in this process, `http://HOST:PORT/v1#MODEL` a server, whose weights do not follow. Held-out problems are always the
    policy's own."""
    source: str = ""
    """The paper a recipe is named for."""
    baseline: str = ""
    """The recipe its claim is measured against."""
    claim: str = ""
    """What it claims over the baseline, in one sentence."""
    measure: str = "accuracy"
    """What the claim is about: a name of `study/measures.py`, or `./mine.py:name`."""
    direction: Literal["higher", "lower", "equal"] = "higher"
    """Where the claim puts that measure, compared with the baseline."""
    seed: int = 0
    heldout: Heldout = dataclasses.field(default_factory=Heldout)
    adapter: LoRA | None = None
    """None trains all weights."""
    precision: Literal["auto", "fp32", "bf16", "layercast"] = "auto"
    """Compute precision; master weights are always fp32. `auto` measures which is faster here; `layercast` holds
    matrices in bf16 and computes in fp32."""
    mismatch: Mismatch = dataclasses.field(default_factory=Mismatch)
    gradient_checkpointing: bool = False
    """Keep only what goes into each layer for the backward pass and run the layer again there: a third more time, for
    a fraction of the activations' memory."""
    token_budget: Positive = 16384
    """Most tokens, padding included, in one micro-batch."""
    staleness: Annotated[int, Field(ge=0)] = 0
    """How many steps older than those that are trained the weights may be that an attempt is drawn with: sampler and
    learner then work side by side (`--cluster ray`). Learning from them needs `truncated_importance`."""
    slots: Positive = 256
    """Attempts the sampler holds at once."""
    checkpoint_every: Annotated[int, Field(ge=0)] = 50
    """Steps between checkpoints; 0 saves only at the end."""
    keep: Annotated[int, Field(ge=0)] = 2
    """Newest checkpoints that stay on disk; 0 keeps all."""

    @property
    def total_steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


def terms(objective: Any, average: Any) -> tuple[Term, ...]:
    """One objective as the only term, or the terms given, each with its average.

    >>> from strop.objectives.averages.token_mean import TokenMean
    >>> from strop.objectives.supervised.cross_entropy import CrossEntropy
    >>> terms(CrossEntropy(), TokenMean()) == terms((Term(objective=CrossEntropy()),), TokenMean())
    True
    """
    given = objective if isinstance(objective, tuple) else (Term(objective=objective),)
    return tuple(dataclasses.replace(term, average=term.average or average) for term in given)


def to_json(recipe: Recipe) -> str:
    """The whole recipe, readable; `from_data(json.loads(...))` gives it back."""
    return json.dumps(dump(recipe), indent=2, ensure_ascii=False)


def from_data(data: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from what `dump` wrote. Raises `ConfigError` naming the first field that does not fit."""
    values = {name: _load(value, f"{where}.{name}") for name, value in data.items() if name not in ("piece", "stages")}
    stages = data.get("stages")
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        raise ConfigError(f"{where}.stages must be a list, got {stages!r}.")
    values["stages"] = tuple(_load({"piece": "recipe.Stage", **s}, f"{where}.stages.{i}") for i, s in enumerate(stages))
    return build(Recipe, values, where)


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with fields changed by `path=value`.

    A value is JSON where it parses as JSON, else text; where a piece is expected, the name of one
    (`stages.0.advantage=leave_one_out`) or of a class in a user's file (`./mine.py:Mine`).
    """
    for setting in settings:
        path, found, value = setting.partition("=")
        if not found or not path:
            raise ConfigError(f"Expected path=value, got {setting!r}. Try: stages.0.objective.high=0.3.")
        recipe = _set(recipe, path.split("."), value, path)
    return recipe


def _set(node: Any, path: list[str], value: str, whole: str) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(node, tuple):
        if not head.isdecimal() or int(head) >= len(node):
            raise ConfigError(f"{whole}: expected an index from 0 to {len(node) - 1}, got {head!r}.")
        item = node[int(head)]
        new = _set(item, rest, value, whole) if rest else _parse(item, value, "", whole)
        return (*node[: int(head)], new, *node[int(head) + 1 :])
    if not is_piece(node):
        raise ConfigError(f"{whole}: there is nothing below this point; {head!r} cannot be set.")
    known = fields(type(node))
    if head not in known:
        raise ConfigError(f"{whole}: {type(node).__name__} has no field {head!r}. {did_you_mean(head, known)}")
    old = getattr(node, head)
    if old is None and rest:
        # what is left out by default, such as an adapter, is made by setting one of its fields
        old = next((kind() for kind in get_args(known[head].type) if getattr(kind, "__is_piece__", False)), None)
    new = _set(old, rest, value, whole) if rest else _parse(old, value, head, whole)
    if new is None and head in _ROOM_OF and known[head].default is not None:
        raise ConfigError(f"{whole}: a {type(node).__name__} cannot do without one. Next: strop ls {_ROOM_OF[head]}")
    values = {name: getattr(node, name) for name in known} | {head: new}
    return build(type(node), values, whole.rpartition(".")[0] or "recipe")


_ROOM_OF = {
    "objective": "objectives", "average": "objectives", "curriculum": "curricula", "episode": "episodes",
    "advantage": "advantages", "credit": "advantages", "verifier": "verifiers", "curator": "curators", "task": "tasks",
    "rewards": "rewards", "controllers": "controllers",
}  # fmt: skip


def _parse(old: Any, value: str, field: str, whole: str) -> Any:
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    room = _ROOM_OF.get(field) or next((_ROOM_OF[p] for p in reversed(whole.split(".")) if p in _ROOM_OF), None)
    expects_piece = is_piece(old) or field in _ROOM_OF
    if field in ("rewards", "controllers"):
        names = [n for n in value.split(",") if n] if isinstance(parsed, str) else parsed
        if not isinstance(names, list):
            raise ConfigError(f"{whole}: expected names with commas between them, got {value}. Next: strop ls {field}")
        return tuple(_load(name if isinstance(name, dict) else {"piece": name}, whole, room) for name in names)
    if expects_piece and not isinstance(parsed, (dict, list, type(None))):
        if room is None:
            raise ConfigError(f"{whole}: change its fields one by one: {', '.join(fields(type(old)))}; got {value}.")
        if not isinstance(parsed, str):
            raise ConfigError(f"{whole}: expected the name of a piece, got {value}. Next: strop ls {room}")
        new = task_named(parsed) if field == "task" else _load({"piece": parsed}, whole, room)
        average = address(new).startswith("objectives/averages/")
        if field in ("objective", "average") and average != (field == "average") and ".py:" not in address(new):
            kind, wanted = ("an average", "an objective") if average else ("an objective", "an average")
            raise ConfigError(f"{whole}: {parsed} is {kind}, expected {wanted}. Next: strop ls objectives")
        return new
    return _load(parsed, whole)


def revive(data: Any, where: str) -> Any:
    """The piece, or the pieces, that `dump` gave as plain data."""
    return _load(data, where)


def _load(value: Any, where: str, room: str | None = None) -> Any:
    """Plain data back to pieces, wherever a dictionary names one."""
    if isinstance(value, Mapping) and "piece" in value:
        name = str(value["piece"])
        cls = {"recipe": Recipe, "recipe.Stage": Stage}.get(name) or _class_named(name, room)
        values = {key: _load(item, f"{where}.{key}") for key, item in value.items() if key != "piece"}
        return build(cls, values, where)
    if isinstance(value, list):
        return tuple(_load(item, f"{where}.{i}") for i, item in enumerate(value))
    if isinstance(value, Mapping):
        return {key: _load(item, f"{where}.{key}") for key, item in value.items()}
    return value


def _class_named(name: str, room: str | None) -> type:
    own = {f"recipe.{cls.__name__}": cls for cls in (AdamW, LoRA, Mismatch, Heldout, Term, Stage, Recipe)}
    cls = own.get(name) or catalogue.load(name, room)
    if not getattr(cls, "__is_piece__", False):
        raise ConfigError(f"{name} is not a piece: decorate the class with @strop.piece.piece.")
    return cls


def task_named(name: str, data: str | None = None) -> Any:
    """A task by name: a procedural one, `reasoning_gym:NAME`, or a data-set mapping such as `gsm8k` with its file."""
    if name.startswith("reasoning_gym:"):
        return build(catalogue.load("tasks/reasoning_gym"), {"dataset": name.partition(":")[2]}, "task")
    from strop.tasks._mappings import MAPPINGS

    reads = {entry.name for entry in catalogue.room("tasks") if "data" in entry.fields} - {"data_set"}
    if data is not None and name in reads:
        return build(catalogue.load(name, "tasks"), {"data": data}, "task")
    if data is not None and name not in MAPPINGS:
        raise ConfigError(
            f"A data file needs a task that reads it, and the task is {name!r}. {did_you_mean(name, MAPPINGS)} "
            f"Next: --task gsm8k --data {data}"
        )
    if data is None and name in (*MAPPINGS, "data_set"):
        kind = name if name in MAPPINGS else "gsm8k"
        raise ConfigError(f"The task {name} reads its problems from a file. Next: --task {kind} --data FILE.jsonl")
    if data is not None:
        return build(catalogue.load("tasks/data_set"), {"data": data, "mapping": name}, "task")
    return build(catalogue.load(name, "tasks"), {}, "task")
