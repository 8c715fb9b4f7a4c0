"""Smooth fields, kept as coarse lattices of absolute position and read by bilinear interpolation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvsam.simulate.hashing import Floats, cell_hash

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lattice:
    """Node values (rows, cols) of a field; node (i, j) lies at (x0 + j * step, y0 + i * step), in metres."""

    x0: float
    y0: float
    step: float
    values: Floats

    @classmethod
    def nodes(cls, low: float, high: float, step: float) -> tuple[Doubles, Doubles]:
        """(x, y) of the nodes of a square lattice over [low, high], each (n, n)."""
        axis = low + step * np.arange(int(np.ceil((high - low) / step)) + 2)
        x, y = np.meshgrid(axis, axis)
        return x, y

    def _locate(self, position: ArrayLike, origin: float, count: int) -> tuple[NDArray[np.intp], Floats]:
        scaled = (np.asarray(position) - origin) / self.step
        index = np.clip(np.floor(scaled), 0, count - 2).astype(np.intp)
        return index, (scaled - index).astype(np.float32)

    def on_grid(self, xs: Doubles, ys: Doubles) -> Floats:
        """The field at every (y, x) of a grid; a value depends on its own position only.

        Args:
            xs: (W,) metres. ys: (H,) metres.

        Returns:
            (H, W) float32.
        """
        j, fx = self._locate(xs, self.x0, self.values.shape[1])
        i, fy = self._locate(ys, self.y0, self.values.shape[0])
        part = self.values[i.min() : i.max() + 2] if len(i) else self.values
        i = i - i.min() if len(i) else i
        # Along x on the few rows of nodes first: what is left is to blend whole rows.
        rows = part[:, j] + (part[:, j + 1] - part[:, j]) * fx
        steps = rows[1:] - rows[:-1]
        result: Floats = steps[i]
        result *= fy[:, None]
        result += rows[i]
        return result

    def bounds(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float]:
        """(lowest, highest) value that the field can take inside a box."""
        j, _ = self._locate([x0, x1], self.x0, self.values.shape[1])
        i, _ = self._locate([y0, y1], self.y0, self.values.shape[0])
        part = self.values[i[0] : i[1] + 2, j[0] : j[1] + 2]
        return float(part.min()), float(part.max())

    def at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """The field at scattered points, any shape; linear beyond the border."""
        j, fx = self._locate(x, self.x0, self.values.shape[1])
        i, fy = self._locate(y, self.y0, self.values.shape[0])
        flat = self.values.reshape(-1)
        k = i * self.values.shape[1] + j
        upper = flat[k] + (flat[k + 1] - flat[k]) * fx
        k += self.values.shape[1]
        lower = flat[k] + (flat[k + 1] - flat[k]) * fx
        result: Floats = upper + (lower - upper) * fy
        return result


def noise(x: ArrayLike, y: ArrayLike, wavelength: float, key: int) -> Doubles:
    """Smooth value noise in [-1, 1] with cells of ``wavelength`` metres, at any points."""
    px, py = np.asarray(x, dtype=np.float64) / wavelength, np.asarray(y, dtype=np.float64) / wavelength
    i, j = np.floor(px), np.floor(py)
    fx, fy = px - i, py - j
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    corner = {
        (a, b): cell_hash(i.astype(np.int64) + a, j.astype(np.int64) + b, key) * 2.0**-31 - 1
        for a in (0, 1)
        for b in (0, 1)
    }
    top = corner[0, 0] + (corner[1, 0] - corner[0, 0]) * fx
    bottom = corner[0, 1] + (corner[1, 1] - corner[0, 1]) * fx
    result: Doubles = top + (bottom - top) * fy
    return result


def texture(size: int, scales: tuple[int, ...], key: int) -> Floats:
    """A (size, size) tile of noise with unit variance, sum of octaves of ``scales`` pixels; repeats without a seam.

    ``size`` must be a multiple of every scale.
    """
    total = np.zeros((size, size))
    axis = np.arange(size)
    for octave, scale in enumerate(scales):
        n = size // scale
        i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        coarse = cell_hash(i, j, key + octave) * 2.0**-31 - 1
        k, f = axis // scale, (axis % scale) / scale
        rows = coarse[k] * (1 - f[:, None]) + coarse[(k + 1) % n] * f[:, None]
        total += rows[:, k] * (1 - f) + rows[:, (k + 1) % n] * f
    result: Floats = ((total - total.mean()) / total.std()).astype(np.float32)
    return result
