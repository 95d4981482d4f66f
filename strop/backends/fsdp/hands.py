"""What every process of a team holds, and what it does when the one that leads says so."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strop import errors
from strop.backends.fsdp.sharded import Sharded
from strop.backends.fsdp.team import Team
from strop.backends.torch.precision import resolve
from strop.backends.torch.sampler import TorchSampler
from strop.backends.torch.weights import Tree
from strop.engine import SELF, make_learner, open_model, open_teacher
from strop.errors import BackendError, ConfigError, StropError
from strop.lint import lint
from strop.models.language_model import LanguageModel
from strop.models.vision import vision_of
from strop.recipe import Recipe, revive
from strop.records import Batch, Completion, Report, Request

COMMANDS = (
    "step", "notes", "prepare", "forget", "set_reference", "restart", "state", "restore", "weights", "refresh",
    "generate",
)  # fmt: skip
"""What the process that leads may say."""


class Hands:
    """A part of the weights that are trained, and a whole copy of them in compute precision to sample from."""

    def __init__(self, recipe: Recipe, team: Team) -> None:
        self.team = team
        model = open_model(recipe)
        if team.leads:
            lint(recipe, model.tokenizer, model.context)
        if vision_of(model.net) is not None:
            raise ConfigError(
                f"{recipe.model} sees images, and only rows with one need its eyes: it cannot be divided yet. "
                "Leave out --processes, or --learners."
            )
        teacher = open_teacher(recipe, model)
        dtype = resolve(recipe.precision, team.device)
        self.model = _copy(model, dtype, team.device)
        """The whole model, as it was when last `refresh`ed."""
        if teacher is not None and recipe.teacher != SELF:
            nn.Module.to(teacher.net, team.device)
        self.world = Sharded(team, model.net, dtype)
        self.learner = make_learner(recipe, model, teacher, self.world)
        how: dict[str, Any] = {"slots": recipe.slots, "precision": recipe.precision}
        self.samplers = {"policy": TorchSampler(self.model, **how)}
        if teacher is not None:
            self.samplers["teacher"] = TorchSampler(self.model if recipe.teacher == SELF else teacher, **how)
        self.stale = False

    def step(self, batch: Batch, objective: Any, average: Any, optimizer: Any, lr: float, by_term: bool) -> Report:
        """The learner's, with pieces as plain data. What it reports is right on the process that leads."""
        self.stale = True
        pieces = revive(objective, "objective"), revive(average, "average"), revive(optimizer, "optimizer")
        return self.learner.step(batch, *pieces, lr, by_term=by_term)

    def notes(self, batch: Batch, needs: Sequence[str]) -> dict[str, Tensor]:
        return self.learner.notes(batch, needs)

    def prepare(self, batch: Batch, objective: Any) -> Batch:
        return self.learner.prepare(batch, revive(objective, "objective"))

    def forget(self, number: int) -> None:
        self.learner.forget(number)

    def set_reference(self, number: int, first: bool) -> None:
        self.learner.set_reference(number, first=first)

    def restart(self) -> None:
        self.stale = True
        self.learner.restart()

    def state(self) -> Tree:
        """Whole tensors, on the process that leads; elsewhere their names are missing."""
        return self.learner.state()

    def restore(self, shapes: Mapping[str, Mapping[str, Any]], optimizer: Any, tree: Tree | None = None) -> None:
        """Each process takes its part of what the one that leads has in `tree`."""
        self.stale = True
        empty = {
            part: {
                name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
                for name, (shape, dtype) in of.items()
            }
            for part, of in shapes.items()
        }
        self.learner.restore({**(empty if tree is None else tree), "optimizer": optimizer})

    def weights(self) -> dict[str, Tensor]:
        """The masters of the net's own weights, whole, on the process that leads."""
        masters = self.learner.masters
        names = masters.names[: masters.trunk]
        return self.world.whole(dict(zip(names, masters.masters[: masters.trunk], strict=True)))

    def refresh(self) -> None:
        """Bring the whole copy up to date."""
        if self.stale:
            self.world.write(self.model.net)
            self.stale = False

    def generate(self, requests: Sequence[Request], whom: str) -> list[Completion]:
        """A share of the samples in each process; on the one that leads all of them."""
        self.refresh()
        rank, size = self.team.rank, self.team.size
        jobs = [(i, j) for i, request in enumerate(requests) for j in range(len(request.seeds))]
        mine: dict[int, list[int]] = {}
        for i, j in jobs[rank * len(jobs) // size : (rank + 1) * len(jobs) // size]:
            mine.setdefault(i, []).append(j)
        own = [replace(requests[i], seeds=[requests[i].seeds[j] for j in places]) for i, places in mine.items()]
        try:
            drawn = list(self.samplers[whom].generate(own))
            found = _packed([replace(c, request=i, sample=mine[i][c.sample])
                             for c in drawn for i in [list(mine)[c.request]]])  # fmt: skip
        except StropError as error:
            # the others may have nothing to complain of, and wait for this share
            found = {"error": [type(error).__name__, str(error)]}
        shares = self.team.collected(found)
        for share in shares:
            if "error" in share:
                name, text = share["error"]
                raise getattr(errors, name, BackendError)(text)
        return [completion for share in shares for completion in _unpacked(share)]


def _copy(model: LanguageModel, dtype: torch.dtype, device: torch.device) -> LanguageModel:
    net = copy.deepcopy(model.net)
    for weight in net.parameters():
        weight.data = weight.data.to(dtype)
    moved: Any = nn.Module.to(net, device)
    return replace(model, net=moved)


def _packed(completions: Sequence[Completion]) -> dict[str, Any]:
    """Few arrays in place of many."""
    return {
        "place": np.array([[c.request, c.sample, len(c.tokens)] for c in completions], dtype=np.int64).reshape(-1, 3),
        "finish": [c.finish for c in completions],
        "tokens": np.concatenate([np.zeros(0, np.int64), *(c.tokens for c in completions)]),
        "logp": np.concatenate([np.zeros(0, np.float32), *(c.logp for c in completions)]),
    }


def _unpacked(share: Mapping[str, Any]) -> list[Completion]:
    ends = np.cumsum(share["place"][:, 2])[:-1]
    parts = zip(
        share["place"].tolist(),
        share["finish"],
        np.split(share["tokens"], ends),
        np.split(share["logp"], ends),
        strict=False,
    )
    return [
        Completion(request=i, sample=j, tokens=tokens, logp=logp, finish=finish)
        for (i, j, _), finish, tokens, logp in parts
    ]
