"""One radiometry for a whole scene."""

import math
import shlex
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvsam.errors import SceneError
from uvsam.raster.access import is_remote, open_dataset
from uvsam.raster.overviews import overviews_agree
from uvsam.raster.pixels import read_raw
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
SAMPLE_PX = 2_000_000
OVERVIEW_PX = 16_000_000
LATTICE, LATTICE_PX = 16, 64
REMOTE_LATTICE = 6
SCAN_PX = 1024


@dataclass(frozen=True)
class Stretch:
    """The linear map that takes ``low`` to 0 and ``high`` to 255, per band (red, green, blue)."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels (3, ...) of any dtype as float32 in [0, 255]; NaN becomes 0."""
        if self == IDENTITY and pixels.dtype == np.uint8:
            return pixels.astype(np.float32)
        # float32 holds 16-bit values exactly; wider types need more until they are in [0, 255]
        wide: NDArray[Any] = pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
        shape = (-1,) + (1,) * (pixels.ndim - 1)
        low = np.array(self.low, dtype=wide.dtype).reshape(shape)
        high = np.array(self.high, dtype=wide.dtype).reshape(shape)
        stretched = np.nan_to_num((wide - low) * (255.0 / (high - low)), copy=False, nan=0.0)
        result: NDArray[np.float32] = np.clip(stretched, 0.0, 255.0).astype(np.float32)
        return result


BLOCKWISE = ("GTiff", "VRT")
"""Damage is of single blocks or files, and the rest is worth a look. A stream of rows (PNG) is lost from there on."""

IDENTITY = Stretch((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


@dataclass(frozen=True)
class Survey:
    """What a look at a few million pixels of a scene says about all of them.

    Attributes:
        overviews_agree: those of the file show what its pixels show, or it has none.
    """

    stretch: Stretch
    valid_share: float
    overviews_agree: bool = True


def estimate_stretch(scene: Scene) -> Stretch:
    """The stretch of the whole scene: identity for uint8, else the 2nd to the 98th percentile of each band.

    Raises:
        SceneError: no pixel of the scene is valid, or it cannot be read.
    """
    if scene.dtype != "uint8":
        return survey(scene).stretch
    with open_dataset(scene.uri) as dataset:  # as it is; the first valid pixel is enough
        looks = chain(_places(dataset, scene), _few_pixels(dataset, scene), _all_pixels(dataset, scene))
        if not any(valid.any() for _, valid in looks):
            raise _empty(scene)
    return IDENTITY


def survey(scene: Scene) -> Survey:
    """Stretch and share of valid pixels from a decimated read; the same for every run.

    Raises:
        SceneError: no pixel of the scene is valid, or it cannot be read.
    """
    agree = _overviews_agree(scene)
    with open_dataset(scene.uri, overviews=agree) as dataset:
        looks = _few_pixels(dataset, scene) if agree or dataset.driver != "VRT" else _places(dataset, scene)
        sample, share = _collect(looks, SAMPLE_PX)
        if sample.shape[1] == 0:  # nothing where we looked: look everywhere before calling it empty
            sample, share = _collect(_all_pixels(dataset, scene), LATTICE_PX**2)
    if sample.shape[1] == 0:
        raise _empty(scene)
    return Survey(IDENTITY if scene.dtype == "uint8" else _percentiles(sample), share, agree)


def _overviews_agree(scene: Scene) -> bool:
    """Whether overviews may be used; warns where they may not."""
    with open_dataset(scene.uri) as dataset:
        reductions = dataset.overviews(scene.bands[0])
        factor = max(math.sqrt(math.prod(scene.shape) / SAMPLE_PX), min(reductions, default=1))
        if not (reductions or dataset.driver == "VRT") or factor <= 1 or overviews_agree(dataset, scene, factor):
            return True
    build = "build them again from its pixels"
    if not is_remote(scene.uri) and not scene.uri.startswith("<"):
        file = shlex.quote(scene.uri)
        build = f"build them again: gdaladdo -clean {file} && gdaladdo -r average {file}"
    warnings.warn(
        f"the overviews of {scene.name} show something else than its pixels (are they older?) and are not used; "
        f"{build}",
        stacklevel=4,
    )
    return False


def _empty(scene: Scene) -> SceneError:
    return SceneError(f"{scene.name} is empty: every pixel is nodata or masked")


def _percentiles(sample: NDArray[Any]) -> Stretch:
    values = sample.astype(np.float64)
    low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT], axis=1)
    narrow = high <= low  # nearly constant band
    low, high = np.where(narrow, values.min(axis=1), low), np.where(narrow, values.max(axis=1), high)
    high = np.where(high <= low, low + np.maximum(1.0, np.abs(low)), high)
    return Stretch(tuple(low.tolist()), tuple(high.tolist()))


def _collect(parts: Iterable[tuple[NDArray[Any], NDArray[np.bool_]]], keep_px: int) -> tuple[NDArray[Any], float]:
    """Valid pixels (3, n), about ``keep_px`` of each part at most, and the valid share of all parts."""
    samples, kept, seen = [], 0, 0
    for pixels, valid in parts:
        values = pixels[:, valid]
        samples.append(values[:, :: max(1, values.shape[1] // keep_px)])
        kept, seen = kept + values.shape[1], seen + valid.size
    return (np.concatenate(samples, axis=1), kept / seen) if samples else (np.empty((3, 0)), 0.0)


def _few_pixels(dataset: Any, scene: Scene) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The whole scene decimated where that is cheap (small, or with overviews), else small windows on a lattice.

    With overviews it takes those with 2 to 8 million pixels.
    """
    height, width = scene.shape
    whole = Window(0, 0, height, width)
    smallest = max([1, *dataset.overviews(scene.bands[0])])
    cheap_px = SAMPLE_PX if smallest == 1 and is_remote(scene.uri) else OVERVIEW_PX
    if height * width / smallest**2 <= cheap_px:
        factor = max(1.0, math.sqrt(height * width / SAMPLE_PX))
        try:
            decimated = read_raw(dataset, scene, whole, (math.ceil(height / factor), math.ceil(width / factor)))
        except SceneError:
            if dataset.driver not in BLOCKWISE:
                raise
        else:
            yield decimated
            return
    if is_remote(scene.uri):
        warnings.warn(
            f"{scene.name} has no overviews, so that its colours are judged by {REMOTE_LATTICE**2} small places; "
            "a cloud-optimised GeoTIFF has overviews",
            stacklevel=4,
        )
    yield from _places(dataset, scene)


def _places(dataset: Any, scene: Scene) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Small windows on a lattice, those near the middle first; of a remote scene fewer, as each is a whole block."""
    whole = Window(0, 0, *scene.shape)
    count = REMOTE_LATTICE if is_remote(scene.uri) else LATTICE
    rows, cols = (list(enumerate(_lattice(size, count))) for size in scene.shape)
    middle = (count - 1) / 2
    for (_, row), (_, col) in sorted(
        product(rows, cols), key=lambda at: math.dist((at[0][0], at[1][0]), (middle,) * 2)
    ):
        try:
            part = read_raw(dataset, scene, Window(row, col, LATTICE_PX, LATTICE_PX).intersection(whole))
        except SceneError:
            if dataset.driver not in BLOCKWISE:
                raise
            continue
        yield part


def _lattice(size: int, count: int) -> list[int]:
    centres = [int((index + 0.5) * size / count) for index in range(count)]
    return [max(0, min(size - LATTICE_PX, centre - LATTICE_PX // 2)) for centre in centres]


def _all_pixels(dataset: Any, scene: Scene) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    whole = Window(0, 0, *scene.shape)
    for row in range(0, whole.height, SCAN_PX):
        for col in range(0, whole.width, SCAN_PX):
            yield read_raw(dataset, scene, Window(row, col, SCAN_PX, SCAN_PX).intersection(whole))
