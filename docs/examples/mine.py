from typing import ClassVar

from torch import Tensor

from strop.piece import piece
from strop.records import Batch


@piece
class Mine:
    """REINFORCE that counts attempts above the average `boost` times. Source: an example."""

    boost: float = 2.0
    """Weight of positive advantages."""
    needs: ClassVar[tuple[str, ...]] = ()
    whole_groups: ClassVar[bool] = False
    skips_zero_advantage: ClassVar[bool] = True

    def __call__(self, logp: Tensor, batch: Batch) -> Tensor:
        weight = batch.advantage.clamp(max=0) + self.boost * batch.advantage.clamp(min=0)
        return -weight * logp

    def log(self, logp: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"nll": -logp}
