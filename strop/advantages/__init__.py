"""Better or worse than expected?

An advantage is a piece: `advantage(rewards) -> Float["P G"]`, one row for each problem. A missing attempt is NaN and
stays NaN; it neither counts nor reaches the learner. `pack` spreads each number over the tokens of its attempt.
"""

from typing import Protocol, runtime_checkable

from strop.records import Float, np


@runtime_checkable
class Advantage(Protocol):
    """What the loop needs of an advantage."""

    def __call__(self, rewards: Float[np.ndarray, "P G"]) -> Float[np.ndarray, "P G"]: ...
