"""From judged groups to what an objective sees, and from there to parts of it.

`pack` builds the optimiser batch and fixes its counts; `minibatches` divides it into several optimiser steps, each with
counts of its own; `select` takes rows for one micro-batch and keeps the counts, so that averages do not depend on the
split.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from strop.advantages import Advantage
from strop.errors import TaskError
from strop.keys import Key
from strop.records import Batch, Counts, Group, Trajectory

_ROW_BY_TOKEN = ("tokens", "mask", "advantage", "old_logp", "ref_logp", "logits", "teacher_logits", "hidden")


def pack(groups: Sequence[Group], advantage: Advantage | None) -> tuple[Batch, list[Group]]:
    """The optimiser batch of all attempts that are not dropped, and the groups as the learner sees them.

    The returned groups carry each attempt's advantage; an attempt that cannot be learned from (no tokens, an advantage
    that is no number) comes back with the reason in `dropped`. Attempts that are dropped do not count in the statistics
    of their group. `advantage=None` gives every attempt the advantage 1.
    """
    groups = _assign([_without_empty(group) for group in groups], advantage)
    rows = [(number, t) for number, group in enumerate(groups) for t in group.trajectories if not t.dropped]
    width = max((len(_tokens(t)) for _, t in rows), default=0)
    tokens = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=bool)
    old_logp = np.zeros((len(rows), width), dtype=np.float32)
    for row, (_, trajectory) in enumerate(rows):
        length = len(_tokens(trajectory))
        tokens[row, :length] = _tokens(trajectory)
        mask[row, :length] = True if trajectory.mask is None else trajectory.mask
        old_logp[row, :length] = np.nan if trajectory.logp is None else trajectory.logp
    old_logp[~mask] = 0.0
    values = np.array([t.advantage for _, t in rows], dtype=np.float32).reshape(len(rows), 1)
    numbers = torch.tensor([number for number, _ in rows], dtype=torch.int64)
    written = torch.from_numpy(mask)
    batch = Batch(
        tokens=torch.from_numpy(tokens),
        mask=written,
        advantage=torch.from_numpy(np.where(mask, values, np.float32(0.0))),
        old_logp=torch.from_numpy(old_logp),
        reward=torch.tensor([t.reward for _, t in rows], dtype=torch.float32),
        group=numbers,
        counts=count(written, numbers),
        prompts=tuple(_prompt(t) for _, t in rows),
        origin=tuple(t.origin for _, t in rows),
    )
    return batch, groups


def count(mask: torch.Tensor, group: torch.Tensor) -> Counts:
    """What averages divide by, for rows with this mask and these group numbers.

    >>> count(torch.tensor([[True, True], [True, False]]), torch.tensor([4, 4]))
    Counts(tokens=3, sequences=2, groups=1)
    """
    return Counts(tokens=int(mask.sum()), sequences=mask.shape[0], groups=len(torch.unique(group)))


def lengths(mask: torch.Tensor) -> torch.Tensor:
    """Response tokens of each row up to its last written one; what follows carries no loss.

    >>> lengths(torch.tensor([[True, False, True, False], [False, False, False, False]])).tolist()
    [3, 0]
    """
    positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * positions).amax(dim=1) if mask.numel() else mask.new_zeros(mask.shape[0], dtype=torch.int64)


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """These rows in this order, trimmed to their own longest response; the counts stay those of the whole batch."""
    index = torch.as_tensor(list(rows), dtype=torch.int64, device=batch.mask.device)
    width = int(lengths(batch.mask[index]).max()) if len(index) else 0
    chosen = {
        name: value[index, :width] for name in _ROW_BY_TOKEN if (value := getattr(batch, name)) is not None
    }  # fmt: skip
    return dataclasses.replace(
        batch,
        **chosen,
        reward=batch.reward[index],
        group=batch.group[index],
        prompts=tuple(batch.prompts[row] for row in rows) if batch.prompts else (),
        origin=tuple(batch.origin[row] for row in rows) if batch.origin else (),
    )


def minibatches(batch: Batch, n: int, key: Key) -> list[Batch]:
    """`n` optimiser batches of whole groups, drawn by `key`, as even as can be; fewer where there are fewer groups."""
    numbers = torch.unique(batch.group).tolist()
    if n <= 1 or len(numbers) <= 1:
        return [batch]
    order = key.rng().permutation(numbers)
    parts: list[Batch] = []
    for members in np.array_split(order, min(n, len(numbers))):
        chosen = set(members.tolist())
        part = select(batch, [row for row, number in enumerate(batch.group.tolist()) if number in chosen])
        parts.append(dataclasses.replace(part, counts=count(part.mask, part.group)))
    return parts


def _tokens(trajectory: Trajectory) -> np.ndarray:
    assert trajectory.tokens is not None
    return trajectory.tokens


def _prompt(trajectory: Trajectory) -> np.ndarray:
    if trajectory.prompt_tokens is None or len(trajectory.prompt_tokens) == 0:
        where = f"{trajectory.problem.id}, sample {trajectory.sample}"
        raise TaskError(f"{where}: an attempt needs at least one prompt token to be learned from, got none.")
    return trajectory.prompt_tokens


def _without_empty(group: Group) -> Group:
    """Mark attempts that have nothing to learn from."""

    def mark(trajectory: Trajectory) -> Trajectory:
        if trajectory.dropped or trajectory.length > 0:
            return trajectory
        return dataclasses.replace(trajectory, dropped="no tokens")

    return dataclasses.replace(group, trajectories=tuple(mark(t) for t in group.trajectories))


def _assign(groups: Sequence[Group], advantage: Advantage | None) -> list[Group]:
    rewards = _table(groups)
    values = np.where(np.isnan(rewards), np.nan, 1.0) if advantage is None else advantage(rewards)
    return [
        dataclasses.replace(group, trajectories=tuple(map(_with_advantage, group.trajectories, row)))
        for group, row in zip(groups, values.tolist(), strict=True)
    ]


def _with_advantage(trajectory: Trajectory, value: float) -> Trajectory:
    if trajectory.dropped:
        return trajectory
    if not np.isfinite(value):
        return dataclasses.replace(trajectory, dropped=f"advantage {value}")
    return dataclasses.replace(trajectory, advantage=value)


def _table(groups: Sequence[Group]) -> Float[np.ndarray, "P G"]:
    """Rewards by problem and sample; NaN where an attempt is missing or dropped."""
    table = np.full((len(groups), max((len(group) for group in groups), default=0)), np.nan)
    for row, group in enumerate(groups):
        for column, trajectory in enumerate(group.trajectories):
            if not trajectory.dropped:
                table[row, column] = trajectory.reward
    return table
