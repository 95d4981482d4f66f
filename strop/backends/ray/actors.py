"""What runs in the actors. Nothing of Ray is needed to make one, and none of them knows the others."""

import json
import os
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strop import errors
from strop.errors import BackendError, LostProcess, StropError
from strop.records import Completion, Request
from strop.store.tree import tree_from_bytes, tree_to_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from strop.backends.fsdp.team import Place as TeamPlace
    from strop.models.chat_tokenizer import ChatTokenizer
    from strop.models.language_model import LanguageModel
    from strop.recipe import Recipe

Weights = Mapping[str, np.ndarray]
"""Weights by their names in the net, as unsigned integers of the same bits: NumPy knows no bf16, and an array is read
where it lies in the object store, without a copy."""

COMMANDS = ("step", "notes", "prepare", "forget", "set_reference", "restart", "state")
"""What the process that leads may say to the learner."""
PIECES = ("objective", "average", "optimizer")
"""Arguments that are pieces as plain data."""
PATIENCE = 0.1
"""Seconds after which completions that are finished are handed over, so that judging does not wait for the others."""


@dataclass(frozen=True)
class Fault:
    """An error to be raised by the process that leads."""

    name: str
    text: str

    @classmethod
    def of(cls, error: StropError) -> "Fault":
        return cls(type(error).__name__, str(error))

    def error(self) -> StropError:
        return getattr(errors, self.name, BackendError)(self.text)


@dataclass(frozen=True)
class Place:
    """Where an actor is."""

    node: str
    pid: int
    cores: int


@dataclass(frozen=True)
class Loaded:
    """An actor took new weights before it drew."""

    seconds: float


@dataclass(frozen=True)
class About:
    """What the process that leads must know of the model."""

    tokenizer: "ChatTokenizer"
    context: int
    precision: str
    """What it computes in; measured once, so that all compute in the same."""


class LearnerActor:
    """The weights that are trained, their moments, the reference, the teacher: a `TorchLearner`; or a part of them, and
    the lead of those that have the others (`backends/fsdp`)."""

    def __init__(self, folder: str) -> None:
        _begin(folder)
        self.learner: Any = None
        self.hands: Any = None
        """What it holds of a divided model."""
        self.size, self.meeting = 1, ""

    def place(self) -> Place:
        return _place()

    def meet(self, size: int, file: str) -> str:
        """From now on it is the first of so many actors; where they meet: at this file, or at a port of this machine
        where there is none that all can reach."""
        self.size, self.meeting = size, Path(file).as_uri() if file else _port()
        return self.meeting

    def open(self, recipe: str, threads: int) -> About | Fault:
        """Load the model, and what trains it."""
        from strop.backends.torch.precision import resolve
        from strop.engine import make_learner, open_teacher
        from strop.models.language_model import placed
        from strop.planning.afford import afford

        try:
            made = _recipe(recipe)
            if self.size > 1:
                return self._open_divided(made, threads)
            afford(made)
            model = _opened(made, threads)
            teacher = open_teacher(made, model)
            self.learner = make_learner(made, model, None if teacher is None else placed(teacher))
            half = resolve(made.precision, model.net.device).itemsize == 2
        except StropError as error:
            return Fault.of(error)
        precision = made.precision if made.precision != "auto" else "bf16" if half else "fp32"
        return About(model.tokenizer, model.context, precision)

    def do(self, command: bytes) -> bytes | Fault:
        """One of `COMMANDS`: a tree `{"what", "arguments"}`, as `tree_to_bytes` writes it; the answer is another."""
        from strop.recipe import revive

        said = tree_from_bytes(command)
        what, arguments = said["what"], said["arguments"]
        if what not in COMMANDS:
            raise BackendError(f"{what!r} is nothing that a learner does.")
        try:
            if self.hands is not None:
                return tree_to_bytes(self._together(what, **arguments))
            pieces = {name: revive(arguments[name], name) for name in PIECES if name in arguments}
            return tree_to_bytes(getattr(self.learner, what)(**{**arguments, **pieces}))
        except StropError as error:
            return Fault.of(error)

    def restore(self, state: bytes) -> Fault | None:
        """Go on from what `state` answered."""
        try:
            with _falling_together():
                self.learner.restore(tree_from_bytes(state))
        except StropError as error:
            return Fault.of(error)

    def publish(self) -> Weights:
        """The weights of the net that are trained, as they are now, in compute precision."""
        if self.hands is None:
            masters = self.learner.masters
            pairs = zip(masters.names[: masters.trunk], masters.weights, strict=False)
            return {name: _bits(weight).numpy() for name, weight in pairs}
        self._together("refresh")
        masters, whole = self.hands.learner.masters, dict(self.hands.model.net.named_parameters())
        return {name: _bits(whole[name]).numpy() for name in masters.names[: masters.trunk]}

    def files(self) -> dict[str, np.ndarray]:
        """The bytes of each file of the model's folder."""
        with tempfile.TemporaryDirectory() as folder:
            with _falling_together():
                self.learner.save_model(Path(folder))
            return {path.name: np.fromfile(path, dtype=np.uint8) for path in sorted(Path(folder).iterdir())}

    def _open_divided(self, recipe: "Recipe", threads: int) -> About:
        from strop.backends.fsdp import lead, team

        with _falling_together():
            place = _joining(0, self.size, self.meeting, threads)
            recipe, self.hands = lead.open_hands(recipe, team.Team.join(place))
        self.learner = lead.lead_learner(self.hands)
        return About(self.hands.model.tokenizer, self.hands.model.context, recipe.precision)

    def _together(self, what: str, **arguments: Any) -> Any:
        from strop.backends.fsdp.lead import together

        with _falling_together():
            return together(self.hands, what, **arguments)


class FollowerActor:
    """A part of the weights that are trained, beside that of a `LearnerActor`, which says what is to be done."""

    def __init__(self, folder: str) -> None:
        _begin(folder)

    def place(self) -> Place:
        return _place()

    def follow(self, rank: int, size: int, meeting: str, threads: int) -> None:
        """Do it, as number `rank` of `size`."""
        from strop.backends.fsdp.follow import obey

        with _falling_together():
            obey(_joining(rank, size, meeting, threads))


class SamplerActor:
    """A whole copy of the weights in compute precision, and a sampler that draws from it."""

    def __init__(self, folder: str) -> None:
        _begin(folder)
        self.samplers: dict[str, Any] = {}
        self.version = 0
        """Which state of the weights this is; 0 is what the recipe begins with."""

    def place(self) -> Place:
        return _place()

    def open(self, recipe: str, threads: int) -> int | Fault:
        """Load the model; most tokens that a prompt and its response may have here."""
        from strop.backends.torch.precision import resolve
        from strop.models.layercast import layercast

        try:
            made = _recipe(recipe)
            model = _opened(made, threads)
            if made.precision == "layercast":
                layercast(model.net)
            else:
                for weight in model.net.parameters():
                    weight.data = weight.data.to(resolve(made.precision, model.net.device))
            self.recipe, self.model = made, model
            self.samplers["policy"] = self._policy()
            return int(self.samplers["policy"].context)
        except StropError as error:
            return Fault.of(error)

    def draw(
        self, version: int | None, weights: Sequence[Any], whom: str, requests: Sequence[Request]
    ) -> Iterator[list[Completion] | Loaded | Fault]:
        """Continue each request with the weights of this version, which `weights` refers to where it has them; None
        takes those that are here."""
        try:
            if version not in (None, self.version):
                yield Loaded(self._take(weights))
                self.version = version
            ready: list[Completion] = []
            since = time.monotonic()
            for completion in self._sampler(whom).generate(requests):
                ready.append(completion)
                if time.monotonic() - since > PATIENCE:
                    yield ready
                    ready, since = [], time.monotonic()
            yield ready
        except StropError as error:
            yield Fault.of(error)

    def _take(self, weights: Sequence[Any]) -> float:
        """Take weights over, in place; the seconds that it took."""
        import ray
        import torch

        started = time.perf_counter()
        held: Weights = ray.get(weights[0])
        own = dict(self.model.net.named_parameters())
        with torch.no_grad(), warnings.catch_warnings():
            # the array lies in the object store, where nobody may write; nobody does
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            for name, bits in held.items():
                own[name].copy_(torch.from_numpy(bits).view(own[name].dtype))
        return time.perf_counter() - started

    def _policy(self) -> Any:
        from strop.backends.torch.sampler import TorchSampler
        from strop.engine import VLLM

        recipe = self.recipe
        if recipe.sampler == VLLM:
            from strop.backends.vllm import VllmSampler

            return VllmSampler(self.model, slots=recipe.slots, precision=recipe.precision)
        return TorchSampler(self.model, slots=recipe.slots, precision=recipe.precision)

    def _sampler(self, whom: str) -> Any:
        """The teacher's is made when it is asked for first: most recipes only compare with it."""
        if whom not in self.samplers:
            from strop.backends.torch.sampler import TorchSampler
            from strop.engine import open_teacher
            from strop.models.language_model import placed

            teacher = open_teacher(self.recipe, self.model)
            assert teacher is not None
            self.samplers[whom] = TorchSampler(
                placed(teacher), slots=self.recipe.slots, precision=self.recipe.precision
            )
        return self.samplers[whom]


def _begin(folder: str) -> None:
    """Be where the process that leads is, as far as that is there: a recipe may name files from there."""
    if Path(folder).is_dir():
        os.chdir(folder)
        sys.path.insert(0, folder)
    # what takes long is done before there is a recipe
    import strop.backends.torch.learner  # pyright: ignore[reportUnusedImport]
    import strop.backends.torch.sampler  # noqa: F401  # pyright: ignore[reportUnusedImport]


def _place() -> Place:
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    return Place(node, os.getpid(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


def _port() -> str:
    """An address that the actors on other machines can reach."""
    import ray.util

    host = str(ray.util.get_node_ip_address())
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind((host, 0))
        return f"tcp://{f'[{host}]' if ':' in host else host}:{free.getsockname()[1]}"


def _joining(rank: int, size: int, meeting: str, threads: int) -> "TeamPlace":
    """What `Team.join` asks for, of an actor: the only GPU that it sees is its own."""
    import torch

    from strop.backends.fsdp.team import Place as TeamPlace

    torch.set_num_threads(threads)
    if meeting.startswith("file:") and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return TeamPlace(rank, size, 0, meeting)


@contextmanager
def _falling_together() -> Generator[None, None, None]:
    """An actor that lost another one of those that share its model ends too: all of them are replaced."""
    try:
        yield
    except LostProcess as lost:
        sys.stderr.write(f"{lost}\n")
        sys.stderr.flush()
        os._exit(3)


def _recipe(text: str) -> "Recipe":
    from strop.recipe import from_data

    return from_data(json.loads(text))


def _opened(recipe: "Recipe", threads: int) -> "LanguageModel":
    import torch

    from strop.engine import open_model
    from strop.models.language_model import placed

    torch.set_num_threads(threads)
    # Ray shows an actor the GPU that it gave it, and hides all others
    return placed(open_model(recipe))


def _bits(weight: "Tensor") -> "Tensor":
    import torch

    same = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}
    return weight.detach().cpu().contiguous().view(same[weight.element_size()])
