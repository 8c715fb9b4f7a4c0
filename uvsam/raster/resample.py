"""Resampling between the scene grid and the model grid, by weights that depend on absolute positions only.

A pixel therefore has one value, whatever the window or tile it is computed in.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from uvsam.raster.window import Window

WHOLE = 1e-5
"""Sums of weights that differ by less are equal: they are added in single precision."""


def model_size(size: int, scale: float) -> int:
    """Model pixels that cover ``size`` scene pixels, along one axis; the last may reach beyond them."""
    return max(1, math.ceil(size / scale - 1e-6))


def source_range(start: int, count: int, scale: float, size: int) -> tuple[int, int]:
    """First and one past the last scene pixel, of ``size``, that model pixels [start, start + count) look at."""
    reach = max(1.0, scale)
    first = math.floor((start + 0.5) * scale - reach - 0.5)
    stop = math.ceil((start + count - 0.5) * scale + reach + 0.5)
    first = min(max(first, 0), size)
    return first, max(first, min(stop, size))


@lru_cache(maxsize=64)
def downsample_weights(start: int, count: int, scale: float, size: int) -> csr_array:
    """Triangle filter of half width max(1, scale) scene pixels around each model pixel's centre, antialiased.

    Args:
        start: first model pixel.
        count: number of model pixels.
        scale: scene pixels per model pixel.
        size: scene pixels there are.

    Returns:
        Weights (count, stop - first), kept for other tiles; columns are scene pixels ``source_range(...)``. Rows sum to
        1; those of model pixels outside the scene are empty.
    """
    first, stop = source_range(start, count, scale, size)
    reach = max(1.0, scale)
    targets = np.arange(start, start + count)[:, None]
    centres = (targets + 0.5) * scale
    columns = np.floor(centres).astype(np.int64) + np.arange(-math.ceil(reach) - 1, math.ceil(reach) + 2)
    weights = np.maximum(0.0, 1.0 - np.abs(columns + 0.5 - centres) / reach)
    weights *= (columns >= 0) & (columns < size) & (targets >= 0) & (targets < model_size(size, scale))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    rows, places = np.nonzero(weights)
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    values = weights[rows, places].astype(np.float32)
    return csr_array((values, columns[rows, places] - first, ends), shape=(count, stop - first))


def downsample(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_], rows: csr_array, cols: csr_array
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Weighted mean of the valid pixels; a model pixel is valid when they hold at least half of its weight.

    Args:
        pixels: (C, h, w); 0 where invalid.
        valid: (h, w).
        rows: weights (H, h).
        cols: weights (W, w).

    Returns:
        pixels (C, H, W), 0 where invalid, and valid (H, W).
    """
    result = _both_axes(pixels, rows, cols)
    if valid.all():
        return result, np.outer(np.diff(rows.indptr) > 0, np.diff(cols.indptr) > 0)
    seen = _both_axes(valid.astype(np.float32)[None], rows, cols)[0]
    seen[seen > 1 - WHOLE] = 1  # where all is seen, the value is that of a window without a hole, to the digit
    enough = seen >= 0.5 - WHOLE
    return np.where(enough, result / np.where(enough, seen, 1), np.float32(0)), enough


def _both_axes(planes: NDArray[np.float32], rows: csr_array, cols: csr_array) -> NDArray[np.float32]:
    """(C, h, w) to (C, H, W), all planes in one product for each axis."""
    (count, height, width), shape = planes.shape, (rows.shape[0], cols.shape[0])
    lines = np.ascontiguousarray(planes.swapaxes(0, 1)).reshape(height, count * width)
    half = np.ascontiguousarray((rows @ lines).reshape(shape[0] * count, width).T)
    result: NDArray[np.float32] = (cols @ half).T.reshape(shape[0], count, shape[1]).swapaxes(0, 1)
    return result


def upsample_scores(
    scores_model: NDArray[np.float32],
    chip: Window,
    core: Window,
    scale_xy: tuple[float, float],
    *,
    model_shape: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Scores on the scene grid: bilinear between the centres of model pixels, clamped at the chip's border.

    Args:
        scores_model: (h, w) of ``chip``.
        chip: window of the model grid; must hold the model pixels around the core.
        core: window of the scene grid.
        scale_xy: scene pixels per model pixel.
        model_shape: size of the model grid (``TilePlan.model_shape``): model pixels beyond it lie outside the scene and
            are not looked at. None: only the chip itself bounds.

    Returns:
        float32 (core.height, core.width); the value of a pixel does not depend on chip and core.
    """
    height, width = model_shape or (chip.row_stop, chip.col_stop)
    row, next_row, y = _neighbours(core.row, core.height, scale_xy[1], min(height, chip.row_stop), chip.row)
    col, next_col, x = _neighbours(core.col, core.width, scale_xy[0], min(width, chip.col_stop), chip.col)
    scores = np.asarray(scores_model, dtype=np.float32)
    if scale_xy == (1.0, 1.0):
        return scores[row[0] : row[0] + core.height, col[0] : col[0] + core.width]
    lines = _between(scores[row], scores[next_row], y[:, None])
    return _between(np.take(lines, col, axis=1), np.take(lines, next_col, axis=1), x)


def _between(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Their mean with the weight of the second, in place of the first."""
    first *= 1 - weight
    second *= weight
    first += second
    return first


def _neighbours(
    start: int, count: int, scale: float, stop: int, origin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Chip indices of the two model pixels around each scene pixel's centre, and the weight of the second."""
    position = (np.arange(start, start + count) + 0.5) / scale - 0.5
    first = np.floor(position).astype(np.int64)
    weight = (position - first).astype(np.float32)
    clamp = [np.clip(index, max(0, origin), stop - 1) - origin for index in (first, first + 1)]
    return clamp[0], clamp[1], weight
