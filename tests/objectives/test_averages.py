import dataclasses

import pytest
import torch

from strop.batching import count
from strop.objectives.averages.fixed_length import FixedLength
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.averages.token_mean import TokenMean


def token_mean(rows):
    every = [loss for row in rows for loss in row]
    return sum(every) / len(every)


def sequence_mean(rows):
    return sum(sum(row) / len(row) for row in rows) / len(rows)


def fixed_length(rows):
    return sum(sum(row) / 6 for row in rows) / len(rows)


@pytest.mark.parametrize(
    ("average", "loop"),
    [(TokenMean(), token_mean), (SequenceMean(), sequence_mean), (FixedLength(length=6), fixed_length)],
)
def test_against_a_loop(batch, average, loop):
    losses = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    given = batch()
    rows = [[float(x) for x, kept in zip(*pair, strict=True) if kept] for pair in zip(losses, given.mask, strict=True)]
    assert float(average(losses, given)) == pytest.approx(loop(rows))


def test_they_agree_where_all_lengths_are_equal(batch):
    losses = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    given = batch(mask=torch.ones(4, 4, dtype=torch.bool))
    given = dataclasses.replace(given, counts=count(given.mask, given.group))
    values = [float(average(losses, given)) for average in (TokenMean(), SequenceMean(), FixedLength(length=4))]
    assert values == pytest.approx([float(losses.mean())] * 3)


def test_a_row_without_tokens_counts_as_a_sequence_and_nothing_else(batch):
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    given = batch(mask=mask)
    losses = torch.full((4, 4), 8.0)
    assert float(SequenceMean()(losses, given)) == 2.0
