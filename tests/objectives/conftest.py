"""A small batch with unequal lengths and an observation in the middle of one row."""

import dataclasses

import pytest
import torch

from strop.batching import count
from strop.records import Batch


def make(**changes) -> Batch:
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
    group = torch.tensor([0, 0, 1, 1])
    given = Batch(
        tokens=mask.long(),
        mask=mask,
        advantage=torch.where(mask, torch.tensor([1.5, -0.5, -2.0, 0.7])[:, None], 0.0),
        old_logp=torch.zeros(4, 4),
        reward=torch.tensor([1.0, 0.0, 0.0, 1.0]),
        group=group,
        counts=count(mask, group),
    )
    return dataclasses.replace(given, **changes)


@pytest.fixture
def batch():
    """A function that makes the batch, with other values where asked."""
    return make
