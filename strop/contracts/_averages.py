"""The contract of averages."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from strop.batching import select
from strop.contracts._examples import random_batch
from strop.contracts._finding import ensure


def gives_one_number_of_the_same_dtype(average: Any) -> None:
    for dtype in (torch.float32, torch.float64):
        value = average(_losses().to(dtype), random_batch())
        ensure(value.shape == (), f"expected one number, got shape {tuple(value.shape)}")
        ensure(value.dtype == dtype, f"losses in {dtype} gave {value.dtype}")
        ensure(value.isfinite(), f"expected a finite number, got {value}")


def weighs_every_written_token_positively(average: Any) -> None:
    batch, losses = random_batch(), _losses().requires_grad_(True)
    slope = torch.autograd.grad(average(losses, batch), losses)[0]
    ensure((slope[batch.mask] > 0).all(), "raising the loss of a written token must raise the average")
    ensure((slope[~batch.mask] == 0).all(), "padding must have no weight")


def is_linear(average: Any) -> None:
    batch, one, other = random_batch(), _losses(), _losses(seed=1)
    _same(average(one * 2 - other, batch), average(one, batch) * 2 - average(other, batch), "average(2a - b)")


def ignores_what_stands_under_padding(average: Any) -> None:
    batch, losses = random_batch(), _losses()
    for garbage in (1e9, float("nan"), float("inf")):
        dirty = losses.masked_fill(~batch.mask, garbage)
        _same(average(dirty, batch), average(losses, batch), f"the average with {garbage} under padding")


def does_not_depend_on_the_split(average: Any) -> None:
    batch, losses = random_batch(), _losses()
    for parts in (
        [[0], [1, 2, 3], [*range(4, 12)]],
        [[row] for row in range(12)],
        [[11, 0, 5], [*range(1, 5), *range(6, 11)]],
    ):
        total = torch.zeros((), dtype=losses.dtype)
        for rows in parts:
            part = select(batch, rows)
            total = total + average(losses[rows, : part.mask.shape[1]], part)
        _same(total, average(losses, batch), f"the sum over {len(parts)} parts")


def divides_by_the_counts_of_the_whole_batch(average: Any) -> None:
    batch, losses = random_batch(), _losses()
    counts = batch.counts
    double = dataclasses.replace(
        counts, tokens=2 * counts.tokens, sequences=2 * counts.sequences, groups=2 * counts.groups
    )
    _same(average(losses, dataclasses.replace(batch, counts=double)) * 2, average(losses, batch), "the average")


def is_zero_for_an_empty_batch(average: Any) -> None:
    batch = select(random_batch(), [])
    empty = dataclasses.replace(batch, counts=dataclasses.replace(batch.counts, tokens=0, sequences=0, groups=0))
    value = average(_losses()[:0, :0], empty)
    ensure(value == 0, f"expected 0, got {value}")


AVERAGES = (
    gives_one_number_of_the_same_dtype,
    weighs_every_written_token_positively,
    is_linear,
    ignores_what_stands_under_padding,
    does_not_depend_on_the_split,
    divides_by_the_counts_of_the_whole_batch,
    is_zero_for_an_empty_batch,
)


def _losses(seed: int = 0) -> Tensor:
    return torch.randn(random_batch().mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _same(actual: Tensor, expected: Tensor, what: str) -> None:
    ensure(torch.allclose(actual, expected, rtol=1e-9, atol=1e-12), f"{what} is {actual:.6g}, expected {expected:.6g}")
