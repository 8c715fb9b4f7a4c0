"""Brushes: a block's pixels as flat arrays, regular cells on them, trees, lawns and cars."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvsam.simulate.hashing import Floats, UInts, cell_hash, derive, draw, unit
from uvsam.simulate.looks import Look, Rgb

Mask = NDArray[np.bool_]
Palette = NDArray[np.float32]


def palette(*rows: tuple[float, float, float, float]) -> Palette:
    """Colours with their shares: each row is (share, red, green, blue)."""
    return np.array(rows, dtype=np.float32)


def colours(table: Palette, hashes: UInts, salt: int, spread: float = 0.1) -> Floats:
    """(3, n) colours drawn from a palette by hash, brightness varied by ``spread`` (relative, about +-2 sigma)."""
    edges = np.cumsum(table[:, 0]) / table[:, 0].sum()
    row = np.minimum(np.searchsorted(edges, unit(hashes, salt), side="right"), len(table) - 1)
    bright = 1 + np.float32(2 * spread) * (unit(hashes, salt + 100) + unit(hashes, salt + 101) - 1)
    result: Floats = table[row, 1:].T * bright
    return result


@dataclass(frozen=True, eq=False)
class Cells:
    """A regular grid of cells over a patch.

    Attributes:
        index: cell of each pixel. a, b: metres from the cell's centre. hashes: one per cell.
        size: (a, b) metres. shape: number of cells along a and b.
    """

    index: NDArray[np.intp]
    a: Floats
    b: Floats
    hashes: UInts
    size: tuple[float, float]
    shape: tuple[int, int]

    def of(self, table: Floats) -> Floats:
        """A per-cell table (..., n) read at every pixel."""
        result: Floats = np.take(table, self.index, axis=-1)
        return result

    def random(self, salt: int, low: float = 0.0, high: float = 1.0) -> Floats:
        """Per-cell uniform numbers."""
        return unit(self.hashes, salt) * np.float32(high - low) + np.float32(low)


@dataclass(eq=False)
class Patch:
    """Pixels of one block, to be painted.

    Attributes:
        u, v: (n,) metres from the block's inner corner, in [0, width] x [0, depth].
        fine, rough: (n,) ground texture.
        rgb: (3, n) and height (n,): the result.
    """

    u: Floats
    v: Floats
    width: float
    depth: float
    fine: Floats
    rough: Floats
    look: Look
    key: int
    rgb: Floats
    height: Floats

    def random(self, salt: int, low: float = 0.0, high: float = 1.0) -> float:
        return draw(self.key, salt, low, high)

    def edge(self) -> Floats:
        """Metres from the border of the block."""
        result: Floats = np.minimum(
            np.minimum(self.u, np.float32(self.width) - self.u), np.minimum(self.v, np.float32(self.depth) - self.v)
        )
        return result

    def cells(self, du: float, dv: float, salt: int) -> Cells:
        """Cells of about ``du`` x ``dv`` metres that divide the block evenly."""
        nu, nv = max(1, round(self.width / du)), max(1, round(self.depth / dv))
        du, dv = max(self.width, 1.0) / nu, max(self.depth, 1.0) / nv
        fu, fv = self.u * np.float32(1 / du), self.v * np.float32(1 / dv)
        i = np.minimum(fu.astype(np.int32), nu - 1)
        j = np.minimum(fv.astype(np.int32), nv - 1)
        a = (fu - i - np.float32(0.5)) * np.float32(du)
        b = (fv - j - np.float32(0.5)) * np.float32(dv)
        gi, gj = np.meshgrid(np.arange(nu), np.arange(nv), indexing="ij")
        hashes = cell_hash(gi.reshape(-1), gj.reshape(-1), derive(self.key, salt))
        return Cells((i * nv + j).astype(np.intp), a, b, hashes, (du, dv), (nu, nv))

    def fill(self, colour: Rgb, rough: float = 0.0, fine: float = 0.0) -> None:
        """Ground of one colour with texture of the given relative strength."""
        shade = 1 + np.float32(rough) * self.rough + np.float32(fine) * self.fine
        for band in range(3):
            np.multiply(shade, np.float32(colour[band]), out=self.rgb[band])

    def put(self, mask: Mask, colour: Rgb | Floats, height: float | Floats | None = None) -> None:
        """Paint where ``mask``; colour may be per pixel (3, n)."""
        for band in range(3):
            value = colour[band]
            np.copyto(self.rgb[band], value if isinstance(value, np.ndarray) else np.float32(value), where=mask)
        if height is not None:
            np.copyto(self.height, np.float32(height) if isinstance(height, float | int) else height, where=mask)

    def shade(self, mask: Mask, factor: float) -> None:
        """Multiply the colour where ``mask``."""
        for band in range(3):
            np.multiply(self.rgb[band], np.float32(factor), out=self.rgb[band], where=mask)

    def trees(self, pitch: float, share: float, salt: int, where: Mask | None = None, size: float = 0.46) -> None:
        """Round crowns, at most one per cell of ``pitch`` metres, on a share of the cells."""
        cells = self.cells(pitch, pitch, salt)
        radius = cells.random(1, 0.55, 1.0) * np.float32(size * pitch)
        room = np.float32(pitch / 2) - radius
        ca, cb = (2 * cells.random(2) - 1) * room, (2 * cells.random(3) - 1) * room
        radius = np.where(cells.random(4) < share, radius, np.float32(-1.0))
        a, b = cells.a - cells.of(ca), cells.b - cells.of(cb)
        r = cells.of(radius)
        inside = (a * a + b * b < r * r) & (r > 0)
        if where is not None:
            inside &= where
        light = 1 + np.float32(0.16) * self.fine + cells.of(cells.random(5, -0.18, 0.22))
        crown = np.stack([light * np.float32(c) for c in self.look.tree])
        self.put(inside, crown, np.maximum(r, 0) * np.float32(1.5))

    def cars(self, salt: int, share: float, where: Mask, pitch: tuple[float, float] = (5.6, 2.7)) -> None:
        """Parked cars on a share of the bays."""
        cells = self.cells(*pitch, salt)
        present = cells.of(cells.random(1)) < share
        body = (np.abs(cells.a) < 2.2) & (np.abs(cells.b) < 0.95) & present & where
        self.put(body, cells.of(colours(CARS, cells.hashes, 2)), 1.5)


CARS = palette(
    (5, 225, 225, 225), (3, 60, 60, 64), (3, 140, 142, 146), (1, 150, 50, 45), (1, 60, 80, 120), (1, 190, 170, 60)
)
BRIGHT_ROOFS = palette(
    (6, 212, 209, 205),
    (4, 184, 182, 178),
    (2, 236, 235, 232),
    (2, 150, 148, 146),
    (1, 180, 160, 140),
    (0.4, 160, 110, 92),
)
FLAT_ROOFS = palette((5, 150, 149, 146), (3, 178, 176, 172), (2, 128, 126, 124), (2, 165, 156, 146), (1, 205, 203, 200))
TILE_ROOFS = palette((5, 150, 88, 72), (2, 128, 82, 70), (2, 118, 112, 108), (1, 172, 116, 88), (1, 98, 96, 98))
HALL_ROOFS = palette(
    (4, 96, 128, 186),
    (4, 192, 196, 200),
    (2, 164, 168, 172),
    (2, 222, 224, 226),
    (1, 132, 156, 184),
    (1, 150, 96, 80),
    (1, 120, 128, 126),
)
