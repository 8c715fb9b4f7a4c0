"""The score raster: one byte per pixel of the scene, read back in strips of rows."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RioWindow

from uvsam.errors import SceneError
from uvsam.raster.writer import Meaning

LEVELS = 254
MEANING = Meaning("probability of village", scale=1 / LEVELS, offset=-1 / LEVELS)
"""Of the bytes; GIS that know of scale and offset show scores."""
STRIP_PX = 16_000_000
MIN_STRIP_ROWS = 64
BLOCK_PX = 512
MOST_BLOCKS = 4
"""A strip may be so many times as high as planned, where its raster has high blocks."""


def quantise(score: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Scores in [0, 1] as bytes: 0 = not looked at, 1..255 = score ``(value - 1) / 254``.

    Scores outside [0, 1] are clipped, NaN counts as not looked at. Law: ``|dequantise(quantise(s)) - s| <= 1/508``.

    Args:
        score: (H, W) float.
        valid: (H, W) bool.
    """
    levels = np.fmax(score, np.float32(0))  # of a number and NaN this is the number
    np.fmin(levels, np.float32(1), out=levels)
    levels *= np.float32(LEVELS)
    np.rint(levels, out=levels)
    levels += np.float32(1)
    levels *= valid & (score == score)
    return levels.astype(np.uint8)


def dequantise(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as scores in [0, 1]; NaN where the scene was not looked at (0)."""
    table: NDArray[np.float32] = (np.arange(256, dtype=np.float32) - 1) / np.float32(LEVELS)
    table[0] = np.nan
    return table[values]


def lowest_level(threshold: float) -> int:
    """The smallest byte whose score reaches ``threshold``; 256 (no byte) above a threshold of 1."""
    # The tolerance lets 0.3 = 76.2 / 254 be what the user typed and not its nearest double.
    return 1 + max(0, int(np.ceil(threshold * LEVELS - 1e-9)))


@dataclass(frozen=True)
class Strip:
    """Rows ``[row, row + rows)`` of a raster with ``halo_px`` more rows on each side.

    Attributes:
        values: (rows + 2 * halo_px, W) uint8; rows outside the raster are 0.
    """

    row: int
    halo_px: int
    values: NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return int(self.values.shape[0]) - 2 * self.halo_px

    @property
    def core(self) -> slice:
        """The strip's own rows within ``values``."""
        return slice(self.halo_px, self.halo_px + self.rows)


def strip_rows(width: int, halo_px: int = 0, block_rows: int = 1) -> int:
    """Rows per strip: about 16 Mpx, but at least 64 rows and twice the halo; whole blocks if these are not higher.

    Args:
        block_rows: rows of the raster's blocks, so that each is read once.
    """
    rows = max(MIN_STRIP_ROWS, 2 * halo_px, STRIP_PX // max(width, 1))
    return max(1, rows // block_rows) * block_rows if block_rows <= MOST_BLOCKS * rows else rows


def plan_strips(path: Path | str, *, halo_px: int = 0, rows: int | None = None) -> list[range]:
    """Rows of the strips that make up a raster, from top to bottom.

    Args:
        halo_px: rows that will be read above and below each strip.
        rows: rows per strip, default :func:`strip_rows`.

    Raises:
        SceneError: the raster cannot be opened.
    """
    with _opened(path) as dataset:
        height, width = dataset.shape
        rows = rows or strip_rows(width, halo_px, dataset.block_shapes[0][0])
    return [range(row, min(row + rows, height)) for row in range(0, height, rows)]


def read_strip(path: Path | str, rows: range, *, halo_px: int = 0) -> Strip:
    """One strip of a uint8 raster of one band.

    Args:
        halo_px: rows read above and below.

    Raises:
        SceneError: the raster cannot be read.
    """
    with _opened(path) as dataset:
        height, width = dataset.shape
        top, bottom = max(0, rows.start - halo_px), min(height, rows.stop + halo_px)
        values = np.zeros((len(rows) + 2 * halo_px, width), np.uint8)
        inside = values[top - rows.start + halo_px : bottom - rows.start + halo_px]
        inside[:] = dataset.read(1, window=RioWindow(0, top, width, bottom - top))
    return Strip(rows.start, halo_px, values)


def read_strips(path: Path | str, *, halo_px: int = 0, rows: int | None = None) -> Iterator[Strip]:
    """Strips from top to bottom; together their cores are the raster. Memory does not depend on its height.

    As :func:`plan_strips` and :func:`read_strip`.
    """
    for planned in plan_strips(path, halo_px=halo_px, rows=rows):
        yield read_strip(path, planned, halo_px=halo_px)


def raster_shape(path: Path | str) -> tuple[int, int]:
    """(height, width) of a raster.

    Raises:
        SceneError: the raster cannot be opened.
    """
    with _opened(path) as dataset:
        return int(dataset.height), int(dataset.width)


def block_shape(path: Path | str) -> tuple[int, int]:
    """(height, width) of the blocks of a tiled raster, so that each is read once; else squares.

    Raises:
        SceneError: the raster cannot be opened.
    """
    with _opened(path) as dataset:
        height, width = dataset.block_shapes[0]
        return (height, width) if height % 16 == width % 16 == 0 and width < dataset.width else (BLOCK_PX, BLOCK_PX)


@contextmanager
def _opened(path: Path | str) -> Iterator[DatasetReader]:
    try:
        with warnings.catch_warnings():
            # Scores on a bare pixel grid are as good as any.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
        with dataset:
            yield dataset
    except RasterioError as error:
        raise SceneError(f"cannot read the scores {path}: {error}; compute them again") from error
