"""Reading pieces of a scene, on its own grid or on the model's."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from uvsam.raster.access import gdal_environment, opened
from uvsam.raster.pixels import read_raw
from uvsam.raster.radiometry import Stretch
from uvsam.raster.resample import downsample, downsample_weights, source_range
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window

STRIP_PX = 2_000_000
CACHED_PX = 100_000
"""Pixels that are resampled at a time: in single precision, a megabyte that the processor's cache holds."""


@dataclass(frozen=True, eq=False)
class Chip:
    """Pixels on a grid.

    Attributes:
        pixels: (3, H, W) float32 in [0, 255], red, green, blue; 0 where invalid.
        valid: (H, W) bool.
        geobox: grid of (H, W).
    """

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_]
    geobox: GeoBox


class SceneReader:
    """An open scene; a context manager, which changes nothing in the thread that enters it. One per thread or process.

    Args:
        scene: what to read.
        stretch: radiometry of the whole scene (``estimate_stretch``).

    Raises:
        SceneError: on entering, the file cannot be opened; on reading, blocks are missing or damaged.
    """

    def __init__(self, scene: Scene, stretch: Stretch) -> None:
        self.scene = scene
        self.stretch = stretch
        self._dataset: Any = None
        self._before: tuple[tuple[float, float], Window, NDArray[np.float32], NDArray[np.bool_]] | None = None

    def __enter__(self) -> Self:
        with gdal_environment(self.scene.uri):  # left at once: a worker may end before it closes the scene
            self._dataset = opened(self.scene.uri)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dataset.close()
        self._before = None

    def read(self, window: Window) -> Chip:
        """The pixels of a window of the scene grid; outside the scene they are invalid and 0."""
        pixels, valid = self._read(window)
        return Chip(pixels, valid, _crop(self.scene.geobox, window, (1.0, 1.0)))

    def read_valid(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window inside the scene are valid; nothing is read where all of them must be."""
        if self.scene.validity.holds_all(self.scene.dtype):
            return np.ones(window.shape, bool)
        with gdal_environment(self.scene.uri):
            return read_raw(self._dataset, self.scene, window)[1]

    def read_resampled(self, window: Window, scale_xy: tuple[float, float]) -> Chip:
        """The pixels of a window of the model grid, antialiased.

        Model pixel (row i, column j) covers scene pixels [j*sx, (j+1)*sx) x [i*sy, (i+1)*sy). Invalid scene pixels
        weigh nothing, nor does what lies beyond the scene's border; a model pixel is valid when valid ones hold at
        least half of the weight inside the scene. Its value does not depend on the window it is read through. With a
        scale of exactly (1, 1) this is :meth:`read`.

        Args:
            window: on the model grid; may reach outside.
            scale_xy: (sx, sy) scene pixels per model pixel.
        """
        geobox = _crop(self.scene.geobox, window, scale_xy)
        if scale_xy == (1.0, 1.0):
            return Chip(*self._read(window), geobox)
        pixels = np.zeros((3, *window.shape), dtype=np.float32)
        valid = np.zeros(window.shape, dtype=bool)
        known = self._copy_known(window, scale_xy, pixels, valid)
        if new := window.width - known:
            part = window._replace(col=window.col + known, width=new)
            self._resample(part, scale_xy, pixels[..., known:], valid[:, known:])
        self._before = scale_xy, window, pixels, valid
        return Chip(pixels, valid, geobox)

    def _copy_known(
        self, window: Window, scale_xy: tuple[float, float], pixels: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> int:
        """The first columns from the window that was read before, as of a tile to the left; how many these are."""
        if self._before is None:
            return 0
        scale_before, before, its_pixels, its_valid = self._before
        shared = window.intersection(before)
        if scale_before != scale_xy or shared != window._replace(width=shared.width):
            return 0
        place = shared.within(before).slices
        pixels[..., : shared.width], valid[:, : shared.width] = its_pixels[:, *place], its_valid[place]
        return shared.width

    def _resample(
        self, window: Window, scale_xy: tuple[float, float], pixels: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> None:
        """Write the pixels of a window into arrays of its size, which are 0."""
        scale_x, scale_y = scale_xy
        height, width = self.scene.shape
        cols = downsample_weights(window.col, window.width, scale_x, width)
        left, right = source_range(window.col, window.width, scale_x, width)
        strip = max(1, int(STRIP_PX / (max(right - left, 1) * max(scale_y, 1.0))))  # rows at a time: bounds the memory
        step = max(1, int(CACHED_PX / (max(right - left, 1) * max(scale_y, 1.0))))
        for top in range(0, window.height, strip):
            count = min(strip, window.height - top)
            first, stop = source_range(window.row + top, count, scale_y, height)
            raw, seen = self._raw(Window(first, left, stop - first, right - left))
            for part_top in range(top, top + count, step):
                part_count = min(step, top + count - part_top)
                part_first, part_stop = source_range(window.row + part_top, part_count, scale_y, height)
                source = slice(part_first - first, part_stop - first)
                rows = downsample_weights(window.row + part_top, part_count, scale_y, height)
                part = slice(part_top, part_top + part_count)
                pixels[:, part], valid[part] = downsample(*self._stretched(raw[:, source], seen[source]), rows, cols)

    def _read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        inside = window.intersection(Window(0, 0, *self.scene.shape))
        if inside == window:
            return self._read_inside(window)
        pixels = np.zeros((3, *window.shape), dtype=np.float32)
        valid = np.zeros(window.shape, dtype=bool)
        if inside.height and inside.width:
            place = inside.within(window).slices
            pixels[:, *place], valid[place] = self._read_inside(inside)
        return pixels, valid

    def _read_inside(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self._stretched(*self._raw(window))

    def _raw(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        with gdal_environment(self.scene.uri):  # this may be another thread than the one that opened the scene
            return read_raw(self._dataset, self.scene, window)

    def _stretched(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if not valid.any():  # a gap of a mosaic
            return np.zeros((3, *valid.shape), dtype=np.float32), valid
        pixels = self.stretch.apply(raw)
        if not valid.all():
            pixels[:, ~valid] = 0
        return pixels, valid


def _crop(geobox: GeoBox, window: Window, scale_xy: tuple[float, float]) -> GeoBox:
    scale_x, scale_y = scale_xy
    corner = Affine.translation(window.col * scale_x, window.row * scale_y)
    return GeoBox(window.shape, geobox.affine * corner * Affine.scale(scale_x, scale_y), geobox.crs)
