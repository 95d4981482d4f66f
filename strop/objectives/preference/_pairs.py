"""Two rows of one group: the one with the higher reward is chosen, the other rejected."""

from typing import NamedTuple

import torch

from strop.records import Batch, Bool, Float


class Pairs(NamedTuple):
    """Each row's place in its pair."""

    partner: Float[torch.Tensor, "N N"]
    """1 where the column is the row's partner; a row of zeros where it has none."""
    chosen: Bool[torch.Tensor, " N"]
    rejected: Bool[torch.Tensor, " N"]

    def margin(self, values: Float[torch.Tensor, " N"]) -> Float[torch.Tensor, " N"]:
        """Chosen minus rejected, on both rows of the pair; 0 on rows without a partner."""
        sign = self.chosen.to(values.dtype) - self.rejected.to(values.dtype)
        return sign * (values - self.partner.to(values.dtype) @ values)

    def of_chosen(self, values: Float[torch.Tensor, " N"]) -> Float[torch.Tensor, " N"]:
        """The chosen row's value, on both rows of the pair; 0 on rows without a partner."""
        return torch.where(self.chosen, values, 0.0) + self.rejected * (self.partner.to(values.dtype) @ values)


def pairs(batch: Batch) -> Pairs:
    """The pairs of a batch. Rows of other group sizes, and pairs of equal reward, belong to no pair.

    >>> from strop.records import Counts
    >>> mask = torch.ones(3, 1, dtype=torch.bool)
    >>> batch = Batch(tokens=mask.long(), mask=mask, advantage=mask.float(), old_logp=mask.float(),
    ...     reward=torch.tensor([0.0, 5.0, 1.0]), group=torch.tensor([7, 8, 7]), counts=Counts(3, 3, 2))
    >>> found = pairs(batch)
    >>> found.chosen.tolist(), found.rejected.tolist(), found.margin(torch.tensor([2.0, 3.0, 10.0])).tolist()
    ([False, False, True], [True, False, False], [8.0, 0.0, 8.0])
    """
    same = batch.group[:, None] == batch.group[None, :]
    two = same.sum(dim=1) == 2
    partner = (same & two[:, None]).to(batch.reward.dtype).fill_diagonal_(0.0)
    other = partner @ batch.reward
    return Pairs(partner, two & (batch.reward > other), two & (batch.reward < other))
