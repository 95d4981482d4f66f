"""The process that leads: a learner and a sampler like any other, whose work all processes share."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from strop.backends.fsdp import limits
from strop.backends.fsdp.follow import opened
from strop.backends.fsdp.hands import Hands
from strop.backends.fsdp.launch import Followers, under_torchrun
from strop.backends.fsdp.team import Place, Team
from strop.backends.remote_learner import RemoteLearner
from strop.backends.torch.precision import resolve
from strop.backends.torch.weights import Tree
from strop.engine import Engine, served_sampler, served_teacher
from strop.episodes import Sampler
from strop.errors import LostProcess, StropError
from strop.models import lora
from strop.models.chat_tokenizer import ChatTokenizer
from strop.models.language_model import LanguageModel, save_weights
from strop.recipe import Recipe, to_json
from strop.records import Completion, Request


@contextmanager
def open_team(recipe: Recipe, processes: int) -> Generator[Engine, None, None]:
    """An engine of so many processes: those that torchrun started, or this one and others that it starts here."""
    limits.check(recipe, "--processes")
    followers = None if under_torchrun() else Followers(processes)
    team, well = None, False
    try:
        place = Place.of_torchrun() if followers is None else Place(0, processes, 0, followers.meeting)
        team = Team.join(place)
        if followers is not None:
            team.account = followers.account
        well = True
        recipe, hands = open_hands(recipe, team)
        with _engine(recipe, hands) as engine:
            yield engine
    except StropError as error:
        well = well and not isinstance(error, LostProcess)
        raise
    except BaseException:
        well = False
        raise
    finally:
        if followers is not None and not well:
            followers.close(0.0)
        if team is not None:
            team.leave(well)
        if followers is not None and well:
            followers.close(10.0)


def open_hands(recipe: Recipe, team: Team) -> tuple[Recipe, Hands]:
    """Have every process load the model; the recipe with the precision they compute in, and what this one holds."""
    # measured once, so that all compute in the same
    half = "bf16" if resolve(recipe.precision, team.device).itemsize == 2 else "fp32"
    recipe = replace(recipe, precision=half)
    with team.speaking():
        team.tell("open", recipe=to_json(recipe))
        hands = opened(recipe, team)
    team.beat()
    return recipe, hands


@contextmanager
def _engine(recipe: Recipe, hands: Hands) -> Generator[Engine, None, None]:
    teacher = LeadSampler(hands, "teacher") if "teacher" in hands.samplers else served_teacher(recipe)
    policy = LeadSampler(hands, "policy", teacher)
    sampler = served_sampler(recipe, policy) if recipe.sampler else policy
    learner: Any = lead_learner(hands)
    engine = Engine(recipe.task, sampler, learner, own=policy)
    try:
        yield engine
    finally:
        for judge in engine.judges.values():
            judge.close()


def together(hands: Hands, what: str, **arguments: Any) -> Any:
    """Have every process do it; what comes out of it here."""
    with hands.team.busy, hands.team.speaking():
        hands.team.tell(what, **arguments)
        return getattr(hands, what)(**arguments)


def lead_learner(hands: Hands) -> RemoteLearner:
    """A learner whose work all processes share."""

    def call(what: str, **arguments: Any) -> Any:
        return together(hands, what, **arguments)

    def restore(tree: Tree) -> None:
        parts = {part: values for part, values in tree.items() if part != "optimizer"}
        shapes = {
            part: {name: [list(v.shape), str(v.dtype).removeprefix("torch.")] for name, v in values.items()}
            for part, values in parts.items()
        }
        with hands.team.busy, hands.team.speaking():
            hands.team.tell("restore", shapes=shapes, optimizer=tree["optimizer"])
            hands.restore(shapes, tree["optimizer"], parts)

    def save_model(folder: Path) -> None:
        weights = together(hands, "weights")
        (lora.save if hands.learner.adapted else save_weights)(hands.model, weights, folder)

    return RemoteLearner(call, restore, save_model)


class LeadSampler:
    """Draws what one `TorchSampler` would, a share in each process. All of a call is drawn before it returns."""

    hooks: ClassVar[bool] = True

    def __init__(self, hands: Hands, whom: str, teacher: Sampler | None = None) -> None:
        self.hands = hands
        self.whom = whom
        self.teacher = teacher

    @property
    def own(self) -> Any:
        """The sampler of this process alone."""
        return self.hands.samplers[self.whom]

    @property
    def model(self) -> LanguageModel:
        """Whole, as it was when something was last drawn."""
        return self.own.model

    @property
    def tokenizer(self) -> ChatTokenizer:
        return self.own.tokenizer

    @property
    def context(self) -> int:
        return self.own.context

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Requests with a hook are drawn by this process alone: a hook is code, and that is not sent."""
        if any(request.hook is not None for request in requests):
            together(self.hands, "refresh")
            return self.own.generate(requests)
        plain = [replace(r, seeds=[int(seed) for seed in r.seeds], stop=[int(i) for i in r.stop]) for r in requests]
        return iter(together(self.hands, "generate", requests=plain, whom=self.whom))
