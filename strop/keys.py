"""Random keys, hashed from (run seed, stage, step, problem, sample ...).

A key is never advanced and never shared: each use folds in what it is for. Two different paths give
unrelated streams, the same path gives the same stream, so a run does not depend on how its batch was
split, on the number of workers, or on what was drawn before.

>>> key = Key.root(7).fold("stage", 0, "step", 3)
>>> key.fold("problem", "k_sat/train/1") == Key.root(7).fold("stage", 0, "step", 3, "problem", "k_sat/train/1")
True
>>> key.fold(1).uint64() != key.fold("1").uint64()
True
"""

import hashlib
import random
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Key:
    """A node in the tree of random streams of a run."""

    digest: bytes
    """16 bytes; the hash of the path that led here."""

    @classmethod
    def root(cls, seed: int) -> "Key":
        """The key of a whole run."""
        return cls(hashlib.blake2b(f"strop:{seed}".encode(), digest_size=16).digest())

    def fold(self, *parts: str | int) -> "Key":
        """A key below this one; folding several parts equals folding them one after another."""
        digest = self.digest
        for part in parts:
            # the type goes in: the problem "1" and the sample 1 are different things
            text = f"{type(part).__name__}:{part}".encode()
            digest = hashlib.blake2b(text, key=digest, digest_size=16).digest()
        return Key(digest)

    def uint64(self) -> int:
        """64 random bits, for engines that take an integer seed."""
        return int.from_bytes(self.digest[:8], "little")

    def rng(self) -> np.random.Generator:
        """A NumPy generator of this key's own."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self.digest, "little")))

    def random(self) -> random.Random:
        """A standard-library generator of this key's own; faster than NumPy for single draws."""
        return random.Random(self.digest)
