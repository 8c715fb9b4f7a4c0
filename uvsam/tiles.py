"""How a scene is cut into tiles: cores partition it exactly, chips are what the network sees around them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from uvsam.errors import SettingsError
from uvsam.raster.resample import model_size
from uvsam.raster.window import Window

BLOCK_PX = 16  # sizes of TIFF blocks are multiples of it
MAX_CORE_PX = 4096
"""Bounds the memory where pixels are much finer than the model's: a chip of 576 m has 28800 x 28800 px of 2 cm."""


@dataclass(frozen=True)
class Tile:
    """The unit of work.

    Attributes:
        index: position in the plan, row by row.
        core: the part of the scene grid this tile answers for.
        chip: the part of the model grid that is read for it; may reach outside at the lower and right border.
    """

    index: int
    core: Window
    chip: Window


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a scene, made one at a time.

    Attributes:
        shape: (height, width) of the scene in pixels.
        scale_xy: scene pixels per model pixel.
        core_px: (height, width) of a core in scene pixels, multiples of 16; cores start at multiples of it.
        chip_px: (height, width) of every chip in model pixels, multiples of ``stride_px``.
        halo_px: model pixels around the core that a chip holds at least, where the scene has them.
        stride_px: chips start at multiples of it, so that the network's own grid is the same in all of them.
    """

    shape: tuple[int, int]
    scale_xy: tuple[float, float]
    core_px: tuple[int, int]
    chip_px: tuple[int, int]
    halo_px: int
    stride_px: int

    @property
    def grid(self) -> tuple[int, int]:
        """Number of (rows, columns) of tiles."""
        return math.ceil(self.shape[0] / self.core_px[0]), math.ceil(self.shape[1] / self.core_px[1])

    @property
    def model_shape(self) -> tuple[int, int]:
        """(height, width) of the scene on the model grid."""
        return model_size(self.shape[0], self.scale_xy[1]), model_size(self.shape[1], self.scale_xy[0])

    def __len__(self) -> int:
        rows, cols = self.grid
        return rows * cols

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        row, col = divmod(index, self.grid[1])
        top, left = row * self.core_px[0], col * self.core_px[1]
        core = Window(top, left, *self.core_px).intersection(Window(0, 0, *self.shape))
        chip = Window(self._chip_start(0, core.row), self._chip_start(1, core.col), *self.chip_px)
        return Tile(index, core, chip)

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))

    def _chip_start(self, axis: int, core_start: int) -> int:
        scale = self.scale_xy[1 - axis]
        first = math.floor(min(core_start / scale, (core_start + 0.5) / scale - 0.5))  # what bilinear scores need
        start = (first - self.halo_px) // self.stride_px * self.stride_px
        last = _ceil(self.model_shape[axis], self.stride_px) - self.chip_px[axis]
        return max(0, min(start, last))


def plan_tiles(
    shape: tuple[int, int], scale_xy: tuple[float, float], *, chip_px: int, halo_px: int, stride_px: int = 32
) -> TilePlan:
    """Cut a scene into tiles.

    Every chip has the same shape and holds its core, and ``halo_px`` model pixels around it wherever the scene has
    them. A network whose useful context is at most the halo thus gives a scene pixel the same score in every plan.

    Args:
        shape: (height, width) of the scene.
        scale_xy: scene pixels per model pixel.
        chip_px: side of a chip, a multiple of ``stride_px``.
        halo_px: context that is read and thrown away.
        stride_px: stride of the network.

    Raises:
        SettingsError: the chip is too small for the halo, or not a multiple of the stride.
    """
    if chip_px < stride_px or chip_px % stride_px:
        raise SettingsError(f"the chip must be a multiple of {stride_px} px, not {chip_px}")
    if halo_px < 0:
        raise SettingsError(f"the halo must not be negative, not {halo_px}")
    height, width = (
        _axis(size, scale, chip_px, halo_px, stride_px) for size, scale in zip(shape, scale_xy[::-1], strict=True)
    )
    return TilePlan(shape, scale_xy, (height[0], width[0]), (height[1], width[1]), halo_px, stride_px)


def _axis(size: int, scale: float, chip_px: int, halo_px: int, stride_px: int) -> tuple[int, int]:
    """(core, chip) along one axis, in scene and model pixels."""
    padded = _ceil(model_size(size, scale), stride_px)
    if padded <= chip_px and size <= MAX_CORE_PX:  # one chip holds all
        return _ceil(size, BLOCK_PX), padded
    if scale == 1.0 and halo_px % stride_px == 0 and chip_px > 2 * halo_px:
        return _floor(chip_px - 2 * halo_px, BLOCK_PX), chip_px
    around = 2 * halo_px + stride_px + 1  # what aligning and bilinear may cost
    core = min(_floor((chip_px - around) * scale, BLOCK_PX), MAX_CORE_PX)
    if core < BLOCK_PX:
        raise SettingsError(f"chips of {chip_px} px are too small for a halo of {halo_px} px at this resolution")
    return core, min(chip_px, padded, _ceil(math.ceil(core / scale) + around, stride_px))


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step


def _floor(value: float, step: int) -> int:
    return int(value // step) * step
