"""Random numbers that depend on a key and integer coordinates only, so that any part of the city can be drawn alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInts = NDArray[np.uint32]
Floats = NDArray[np.float32]


def mix(values: ArrayLike) -> UInts:
    """A bijective 32-bit integer hash (xor-shift-multiply finaliser)."""
    x = np.array(values, dtype=np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def cell_hash(i: ArrayLike, j: ArrayLike, key: int) -> UInts:
    """Hash of integer cells (i, j), negative ones included, under ``key``."""
    with np.errstate(over="ignore"):
        a = mix(np.asarray(i).astype(np.int64).astype(np.uint32) + np.uint32(key & 0xFFFFFFFF))
        return mix(a ^ (np.asarray(j).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)))


def derive(key: int, *salts: int) -> int:
    """A new key from ``key`` and any integers."""
    for salt in salts:
        key = int(cell_hash(salt, salt >> 31, key))
    return key


def unit(hashes: UInts, salt: int) -> Floats:
    """The ``salt``-th uniform number in [0, 1) of every hash."""
    return (mix(hashes + np.uint32((salt * 0x632BE59B + 0x1B873593) & 0xFFFFFFFF)) >> np.uint32(8)).astype(
        np.float32
    ) * np.float32(2**-24)


def draw(key: int, salt: int, low: float = 0.0, high: float = 1.0) -> float:
    """One uniform number in [low, high)."""
    return low + (high - low) * (derive(key, salt) >> 8) * 2.0**-24
