"""Keys and values of the rows that are being sampled, behind the cache interface that transformers models call."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache


class PrefillCache(Cache):
    """Keeps what a forward pass over whole prompts computed; there is no past to join it with."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[Float[Tensor, "P K S D"]] = []
        self.values: list[Float[Tensor, "P K S D"]] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        assert layer_idx == len(self.keys), "a layer was skipped or run twice"
        self.keys.append(key_states)
        self.values.append(value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


class RowCache(Cache):
    """Preallocated keys and values `[slots, K, C, D]` in which every row's newest token stands in the same column.

    Rows are aligned on the right: a row with a prompt of S tokens that enters at column t occupies t-S to t. One
    step therefore writes one column of every row in place, and attention reads the columns from the start of the
    longest row on; where a row begins is the business of the attention mask. A column tells nothing about positions.
    """

    def __init__(self, prefill: PrefillCache, slots: int, column: int, columns: int, dtype: torch.dtype) -> None:
        super().__init__(layers=[])

        def empty(like: Tensor) -> Tensor:
            # zeros, not empty: what an unwritten column holds is multiplied by a weight of 0, and 0 x NaN is NaN
            return torch.zeros(slots, like.shape[1], columns, like.shape[3], dtype=dtype, device=like.device)

        self.keys = [empty(layer) for layer in prefill.keys]
        self.values = [empty(layer) for layer in prefill.values]
        self.rows = 0
        """Rows in use: the first ones."""
        self.first = column
        """First column that any row in use occupies."""
        self.column = column
        """The column the next step writes."""

    @property
    def columns(self) -> int:
        return self.keys[0].shape[2]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        rows, first, column = self.rows, self.first, self.column
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[:rows, :, column] = key_states[:, :, 0]
        values[:rows, :, column] = value_states[:, :, 0]
        return keys[:rows, :, first : column + 1], values[:rows, :, first : column + 1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.column - self.first

    def write(self, rows: Int[Tensor, " N"], prefill: PrefillCache, index: Int[Tensor, " N"]) -> None:
        """Put prompt number `index` of a prefill into each of `rows`, ending before the current column."""
        size = prefill.keys[0].shape[2]
        for mine, new in zip((*self.keys, *self.values), (*prefill.keys, *prefill.values), strict=True):
            there = mine[:, :, self.column - size : self.column]
            there.index_copy_(0, rows, new.index_select(0, index).to(mine.dtype))

    def move(self, sources: Int[Tensor, " N"], targets: Int[Tensor, " N"]) -> None:
        """Copy whole rows, so that the rows in use stay the first ones."""
        for layer in (*self.keys, *self.values):
            used = layer[:, :, self.first : self.column]
            used.index_copy_(0, targets, used.index_select(0, sources))

    def shift(self, first: int, columns: int) -> None:
        """Move the used columns so that they begin at `first`, into buffers of `columns` columns."""
        width = self.column - self.first
        for layers in (self.keys, self.values):
            for index, old in enumerate(layers):
                new = old.new_zeros(old.shape[0], old.shape[1], columns, old.shape[3])
                new[: self.rows, :, first : first + width] = old[: self.rows, :, self.first : self.column]
                layers[index] = new
        self.first, self.column = first, first + width
