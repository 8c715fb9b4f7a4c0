"""How far the image of one period lies beside that of another, told from the images themselves."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform_bounds
from rasterio.windows import Window as RioWindow
from scipy.ndimage import gaussian_gradient_magnitude
from skimage.registration import phase_cross_correlation

from uvsam.change.alignment import MAD_TO_SIGMA, MEDIAN_TO_MEAN, NO_SHIFT, Shift
from uvsam.raster.access import open_dataset
from uvsam.raster.bands import alpha_band

SIDE_PX = 256
PLACES = 7
"""Windows along each axis, at most."""
FRACTION = 20
"""Shifts are told to this fraction of a pixel."""
LARGEST_PX = SIDE_PX // 4
NEAR_PX = 1.5
LEAST_WINDOWS = 5
LEAST_SHARE = 0.3
"""Of the windows, so many must agree: fields and clouds correlate with anything."""

Floats = NDArray[np.float64]


def estimate_image_shift(before: str | Path, after: str | Path, crs: CRS) -> Shift:
    """The shift on which most windows of two images agree.

    Both are brought to one grid on the map, of the coarser one's resolution. In each of up to 7 x 7 windows, which
    overlap by half where room is short, the phase correlation of their edges (Guizar-Sicairos et al. 2008) tells a
    shift, up to 64 pixels; edges, because seasons and sensors change brightness. The answer is the median of those
    within 1.5 pixels of the shift with most company.

    Args:
        crs: of the map, in metres.

    Returns:
        As of ``estimate_shift``; not known where too few windows agree.

    Raises:
        SceneError: an image cannot be read.
    """
    with open_dataset(str(before)) as first, open_dataset(str(after)) as second:
        boxes = [transform_bounds(one.crs, crs, *one.bounds) for one in (first, second)]
        left, bottom = (max(box[k] for box in boxes) for k in (0, 1))
        right, top = (min(box[k] for box in boxes) for k in (2, 3))
        pixel = max(
            calculate_default_transform(one.crs, crs, one.width, one.height, *one.bounds)[0].a
            for one in (first, second)
        )
        width, height = int((right - left) / pixel), int((top - bottom) / pixel)
        if min(width, height) < SIDE_PX:
            return NO_SHIFT
        grid = {
            "crs": crs, "transform": from_origin(left, top, pixel, pixel), "width": width, "height": height,
            "resampling": Resampling.bilinear,
        }  # fmt: skip
        with (
            WarpedVRT(first, **grid, add_alpha=alpha_band(first) is None) as one,
            WarpedVRT(second, **grid, add_alpha=alpha_band(second) is None) as other,
        ):
            ways = np.array(list(_ways(one, other, width, height))).reshape(-1, 2) * pixel
    return _agreed(ways, NEAR_PX * pixel)


def _ways(one: Any, other: Any, width: int, height: int) -> Iterator[Floats]:
    """(east, north) in pixels, of every window that shows ground in both."""
    rows, cols = (
        np.unique(np.linspace(0, size - SIDE_PX, min(PLACES, 2 * size // SIDE_PX - 1)).astype(int))
        for size in (height, width)
    )
    taper = np.outer(np.hanning(SIDE_PX), np.hanning(SIDE_PX))
    for row, col in product(rows.tolist(), cols.tolist()):
        window = RioWindow(col, row, SIDE_PX, SIDE_PX)
        before, after = _edges(one, window), _edges(other, window)
        if before is None or after is None:
            continue
        back, _, _ = phase_cross_correlation(before * taper, after * taper, upsample_factor=FRACTION)
        if np.abs(back).max() <= LARGEST_PX:
            yield np.array([-back[1], back[0]])


def _edges(image: Any, window: RioWindow) -> Floats | None:
    """How much the brightness changes around each pixel; None where ground is missing or there is nothing to see."""
    alpha = alpha_band(image) or image.count
    if (image.read(alpha, window=window) == 0).any():
        return None
    colours = image.read([band for band in image.indexes if band != alpha][:3], window=window)
    edges: Floats = gaussian_gradient_magnitude(colours.astype(np.float64).mean(axis=0), 1.0)
    spread = float(edges.std())
    return (edges - edges.mean()) / spread if spread > 0 else None


def _agreed(ways: Floats, near_m: float) -> Shift:
    if len(ways) < LEAST_WINDOWS:
        return NO_SHIFT
    company = (np.linalg.norm(ways[:, None] - ways, axis=-1) <= near_m).sum(axis=1)
    near = ways[np.linalg.norm(ways - ways[company.argmax()], axis=1) <= near_m]
    if len(near) < max(LEAST_WINDOWS, LEAST_SHARE * len(ways)):
        return NO_SHIFT
    east, north = np.median(near, axis=0)
    scatter = MAD_TO_SIGMA * np.median(np.abs(near - [east, north]))
    error = MEDIAN_TO_MEAN * scatter / np.sqrt(len(near))
    return Shift(float(east), float(north), float(error), len(near), "windows of the images")
