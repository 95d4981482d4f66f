"""A learner that is somewhere else, in other processes or on another machine."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from strop.backends.torch.noting import annotated
from strop.backends.torch.weights import Tree
from strop.objectives import Average, Objective
from strop.piece import dump
from strop.recipe import AdamW, Term
from strop.records import Batch, Group, Report


class RemoteLearner:
    """What the loop asks of a `TorchLearner` (see there), in commands whose arguments are tensors and plain data."""

    def __init__(
        self, call: Callable[..., Any], restore: Callable[[Tree], None], save_model: Callable[[Path], None]
    ) -> None:
        """`call(what, **arguments)` has a command done where the learner is; restoring and saving, which move whole
        models, are each backend's own."""
        self.call = call
        self.restore = restore
        self.save_model = save_model

    def step(
        self,
        batch: Batch,
        objective: Objective | tuple[Term, ...],
        average: Average,
        optimizer: AdamW,
        lr: float,
        *,
        by_term: bool = False,
    ) -> Report:
        pieces = {"objective": dump(objective), "average": dump(average), "optimizer": dump(optimizer)}
        return self.call("step", batch=batch, **pieces, lr=lr, by_term=by_term)

    def annotate(self, groups: Sequence[Group], needs: Collection[str], *, only_new: bool = False) -> list[Group]:
        def notes(batch: Batch, needs: Collection[str]) -> Any:
            return self.call("notes", batch=batch, needs=sorted(needs))

        return annotated(notes, groups, needs, only_new=only_new)

    def prepare(self, batch: Batch, objective: Objective | tuple[Term, ...]) -> Batch:
        return self.call("prepare", batch=batch, objective=dump(objective))

    def forget(self, number: int) -> None:
        self.call("forget", number=number)

    def set_reference(self, number: int = 0, *, first: bool = False) -> None:
        self.call("set_reference", number=number, first=first)

    def restart(self) -> None:
        self.call("restart")

    def state(self) -> Tree:
        return self.call("state")
