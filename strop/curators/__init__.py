"""Which data teaches?

A curator is a piece: `curator(groups, key) -> groups`. It may drop attempts, pair them, or edit them. It drops by
marking (`dataclasses.replace(trajectory, dropped="duplicate")`), never by removing, so that the store keeps every
attempt with its reason; the loop leaves marked attempts out of the batch. A curator that rearranges (pairs) gives
new groups. One that writes a text leaves its `tokens` None: the loop encodes it with the policy's tokenizer.

- `needs`: where it has one, what the learner must note down for each token before (`logp`, `entropy`, `greedy` ...);
  it comes in `Trajectory.signals`.

A builder makes rows of a data set from other rows before any run: `builder(rows, key) -> rows`, in folders of their own
such as `visual/`. One with `build(count, key, out, author, samples)` is what `strop data NAME` runs.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from strop.keys import Key
from strop.records import Group


@runtime_checkable
class Curator(Protocol):
    """What the loop needs of a curator."""

    def __call__(self, groups: Sequence[Group], key: Key) -> list[Group]: ...
