"""How do we answer at test time?

A decoder that only chooses works on stored attempts: `decoder(attempts) -> index` of the attempt whose answer is given,
or `None` where none can be given. Attempts come in the order in which they were drawn; ties go to the first seen. The
number of attempts is its budget: a decoder never looks at more than it was given.
"""

from collections.abc import Sequence
from typing import Protocol

from strop.records import Trajectory


class Decoder(Protocol):
    """What evaluation needs of a decoder that chooses among stored attempts."""

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None: ...
