"""Whether pictures are blank or nearly the same."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int32, UInt8

NEAR = 6
"""Bits in which two pictures may differ and still count as one: 2 for each colour, as in the paper's code."""
_LOW, _GRID, _STEPS = 16, 32, 64


@functools.cache
def _cosines() -> Float[np.ndarray, "_LOW _GRID"]:
    """The 16 lowest frequencies of a discrete cosine transform of 32 numbers."""
    places, frequencies = np.arange(_GRID), np.arange(_LOW)
    return np.cos(np.pi / _GRID * (places + 0.5)[None, :] * frequencies[:, None])


def fingerprint(image: UInt8[np.ndarray, "Y X 3"]) -> int:
    """A perceptual hash: for each colour, 256 bits that say which low frequencies are above their median, and 64 for
    how much of the colour there is.

    Source: pHash as `imagehash` computes it (DCT, 16 x 16 lowest frequencies, median), for each colour by itself: the
    usual one sees shapes alone, takes a red square for a green one and knows no background.
    """
    step = image.shape[0] // _GRID
    # means of squares, rows first: many times faster than over two axes at once
    rows = image.reshape(_GRID, step, -1).sum(axis=1, dtype=np.int64)
    small = rows.reshape(_GRID, _GRID, step, 3).sum(axis=2) / step**2
    waves = np.einsum("ay,yxc,bx->cab", _cosines(), small, _cosines(), optimize=True)
    # what is 0 but for rounding is 0, or flat pictures would have random bits
    waves = np.where(np.abs(waves) < 1e-6, 0.0, waves)
    bits = waves > np.median(waves, axis=(1, 2), keepdims=True)
    amount = small.mean(axis=(0, 1))[:, None] > (np.arange(_STEPS) + 0.5) * (256 / _STEPS)
    return int.from_bytes(np.packbits(np.concatenate([bits.ravel(), amount.ravel()])).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """Bits in which two fingerprints differ."""
    return (one ^ other).bit_count()


def codes(image: UInt8[np.ndarray, "Y X 3"]) -> Int32[np.ndarray, "Y X"]:
    """One number for each pixel: its colour."""
    red, green, blue = (image[..., place].astype(np.int32) for place in range(3))
    return red << 16 | green << 8 | blue


def blank(image: UInt8[np.ndarray, "Y X 3"]) -> bool:
    """Whether a picture shows next to nothing: less than half a percent of it differs from its commonest colour."""
    colours = codes(image).ravel()
    # whatever covers more than half of it is the median, which is found faster than all colours are counted
    middle = np.partition(colours, len(colours) // 2)[len(colours) // 2]
    return bool((colours == middle).sum() > 0.995 * len(colours))


def fault(images: Sequence[np.ndarray]) -> str:
    """Why a group of pictures cannot make a puzzle; empty where it can. The first four may repeat each other."""
    if any(blank(image) for image in images):
        return "blank picture"
    prints = [fingerprint(image) for image in images[4:]]
    near = any(distance(a, b) <= NEAR for place, a in enumerate(prints) for b in prints[:place])
    return "options nearly the same" if near else ""
