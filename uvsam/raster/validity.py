"""Which pixels show nothing: pure functions of values, and what a file says about them.

A pixel is invalid where any statement says so: the alpha band or the mask (internal, ``.msk``, VRT) is 0, it has the
nodata value, it belongs to a collar that the file does not tell of, or a band is NaN, infinite or too large for light.
"""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uvsam.raster.window import Window

Nodata = float | Literal["none", "nan"] | None
"""What a user says in place of the file: a value, ``none`` (every pixel shows something), None (the file is right)."""
LARGEST = 1e30
"""No light is as bright: what is, at either end of a floating type, stands for no data, whatever the file says."""
NEAR = 1e-5
"""A nodata value is text in many formats, with six digits or in another precision than the pixels."""
NONE = (None, None, None)


@dataclass(frozen=True)
class Collar:
    """A region of one value that reaches the edge of an image, or that was never written.

    Attributes:
        value: of its pixels, in all three bands.
        noise: how far they may be from it, as after lossy compression.
        share: of the image.
        cells: bits of the cells, row by row, that it touches, compressed; empty: all of them.
        grid: (rows, columns) of cells.
        span: rows and columns of pixels that they cover, of equal size.
    """

    value: float
    noise: int
    share: float
    cells: bytes
    grid: tuple[int, int]
    span: tuple[int, int]

    def hides(self, pixels: NDArray[Any], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which pixels (3, h, w) are of it; None: none of them.

        Args:
            rows, cols: of cells, for each row and column of pixels.
        """
        near: NDArray[np.bool_] | None = None
        if self.cells:
            cells = _unpacked(self.cells, self.grid)
            part = cells[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
            if not part.any():
                return None
            near = None if part.all() else cells[np.ix_(rows, cols)]
        equal = has_value(pixels, self.value, self.noise)
        return equal if near is None else equal & near


@dataclass(frozen=True)
class Validity:
    """What says of an image which of its pixels show nothing.

    Attributes:
        alpha: 1-based band that is 0 there.
        masked: the file has a mask.
        nodata: of red, green and blue.
        collars: regions that the file does not tell of.
    """

    alpha: int | None = None
    masked: bool = False
    nodata: tuple[float | None, ...] = NONE
    collars: tuple[Collar, ...] = ()

    def holds_all(self, dtype: str) -> bool:
        """Whether no pixel can be invalid."""
        said = self.alpha is not None or self.masked or self.collars or any(value is not None for value in self.nodata)
        return not said and np.dtype(dtype).kind != "f"

    def of(self, pixels: NDArray[Any], window: Window) -> NDArray[np.bool_]:
        """Which pixels (3, h, w) of a window are valid by their values.

        Args:
            window: what they show, at any resolution.
        """
        valid: NDArray[np.bool_] = np.ones(pixels.shape[1:], bool)
        if any(value is not None for value in self.nodata):
            valid &= ~_is_nodata(pixels, self.nodata)
        for collar in self.collars:
            rows = cells_of(window.row, window.height, pixels.shape[1], collar.span[0], collar.grid[0])
            cols = cells_of(window.col, window.width, pixels.shape[2], collar.span[1], collar.grid[1])
            hidden = collar.hides(pixels, rows, cols)
            if hidden is not None:
                valid &= ~hidden
        if pixels.dtype.kind == "f":
            limit = min(LARGEST, float(np.finfo(pixels.dtype).max))
            valid &= (np.abs(pixels) < limit).all(axis=0)  # NaN is not below it either
        return valid


def packed(cells: NDArray[np.bool_]) -> bytes:
    """Cells (rows, columns) as ``Collar`` keeps them."""
    return zlib.compress(np.packbits(cells).tobytes())


@lru_cache(maxsize=8)
def _unpacked(cells: bytes, grid: tuple[int, int]) -> NDArray[np.bool_]:
    bits = np.frombuffer(zlib.decompress(cells), np.uint8)
    return np.unpackbits(bits, count=math.prod(grid)).reshape(grid).astype(bool)


def cells_of(start: int, length: int, count: int, size: int, cells: int) -> NDArray[np.int64]:
    """The cell, of so many along ``size`` pixels, of each of ``count`` samples of [start, start + length)."""
    if count == length:
        return (start + np.arange(count)) * cells // size
    middles = start + (np.arange(count) + 0.5) * (length / count)
    return np.asarray(np.minimum(middles, size - 1)).astype(np.int64) * cells // size


def has_value(pixels: NDArray[Any], value: float, noise: int = 0) -> NDArray[np.bool_]:
    """Which pixels (3, h, w) have a value, within ``noise``, in all bands."""
    if noise:
        low, high = (np.clip(value + way, 0, 255).astype(pixels.dtype) for way in (-noise, noise))
        return np.asarray(((pixels >= low) & (pixels <= high)).all(axis=0))
    return np.asarray((pixels == pixels.dtype.type(value)).all(axis=0))


def applicable(value: float | None, dtype: str) -> float | None:
    """A nodata value that pixels of a type can have; None: it cannot occur, or there is none."""
    if value is None or np.dtype(dtype).kind not in "iu":
        return value
    limits = np.iinfo(dtype)
    return value if math.isfinite(value) and value % 1 == 0 and limits.min <= value <= limits.max else None


def _is_nodata(pixels: NDArray[Any], nodata: tuple[float | None, ...]) -> NDArray[np.bool_]:
    """A value that real pixels have too (0, or any of an unsigned type: black roofs, saturated ones) must stand in all
    three bands; any other (-9999 ...) in one."""
    hits = [_equals(band, value) for band, value in zip(pixels, nodata, strict=True)]
    can_be_real = pixels.dtype.kind == "u" or all(value in (None, 0) for value in nodata)
    combined: NDArray[np.bool_] = np.logical_and.reduce(hits) if can_be_real else np.logical_or.reduce(hits)
    return combined


def _equals(band: NDArray[Any], value: float | None) -> NDArray[np.bool_]:
    if value is None:
        return np.zeros(band.shape, dtype=bool)
    if band.dtype.kind in "iu":
        return np.asarray(band == int(value))
    if not math.isfinite(value) or abs(value) >= LARGEST:  # as everything that large
        return np.asarray(~(np.abs(band) < LARGEST))
    return np.asarray(np.abs(band - band.dtype.type(value)) <= NEAR * abs(value))
