"""Overviews that show something else than the pixels: older than these, of another stretch, or black."""

import math
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvsam.errors import SceneError
from uvsam.raster.access import is_remote
from uvsam.raster.pixels import read_raw
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window

PLACES, REMOTE_PLACES = 4, 2
SIDE, LARGEST_PX = 8, 512
"""A place is so many decimated pixels a side, and at most so many of the image."""
SURE = 5.0
"""Standard errors; a decimated pixel may be any of those that it stands for, or their mean."""
OFF, ALL_OFF = 0.5, 0.1
"""How far a place, and the mean of all of them, may be off besides, in standard deviations of the image."""
FEW, SHARE = 2, 1 / 8
LEVELS = 2.0  # of 8 bits, as compression changes them


def overviews_agree(dataset: Any, scene: Scene, factor: float) -> bool:
    """Whether a few places look the same decimated by ``factor``, for which GDAL takes overviews, and as they are.

    Whatever made the overviews of the pixels (nearest, average, cubic ...), the means of a place are near each other.
    """
    height, width = scene.shape
    side = max(1, min(SIDE, int(LARGEST_PX / factor)))
    size_px = max(1, min(round(side * factor), height, width))
    count = REMOTE_PLACES if is_remote(scene.uri) else PLACES
    rows, cols = (
        sorted({int((size - size_px) * (index + 0.5) / count) for index in range(count)}) for size in (height, width)
    )
    places = []
    for row, col in product(rows, cols):
        window = Window(row, col, size_px, size_px)
        try:
            exact, coarse = read_raw(dataset, scene, window), read_raw(dataset, scene, window, (side, side))
        except SceneError:  # damage is told of where it matters
            continue
        places.append((exact, coarse))
    return not places or _agree(places, LEVELS if scene.dtype == "uint8" else 0.0)


Pixels = tuple[NDArray[Any], NDArray[np.bool_]]


def _agree(places: list[tuple[Pixels, Pixels]], levels: float) -> bool:
    shares = np.array([(exact[1].mean(), coarse[1].mean()) for exact, coarse in places])
    hidden = np.abs(shares[:, 0] - shares[:, 1]) > OFF
    shown = [
        (exact[0][:, exact[1]].astype(float), coarse[0][:, coarse[1]].astype(float))
        for (exact, coarse), share in zip(places, shares, strict=True)
        if share.min() > OFF
    ]
    least = max(FEW, SHARE * len(places)) if len(places) > FEW else 1
    if not shown:
        return bool(hidden.sum() < least)
    spread = np.concatenate([exact for exact, _ in shown], axis=1).std(axis=1)
    differences = np.array([coarse.mean(axis=1) - exact.mean(axis=1) for exact, coarse in shown])
    errors = np.array([exact.std(axis=1) / math.sqrt(coarse.shape[1]) for exact, coarse in shown])
    off = (np.abs(differences) > OFF * spread + SURE * errors + levels).any(axis=1)
    mean_error = np.sqrt((errors**2).sum(axis=0)) / len(shown)
    all_off = np.abs(differences.mean(axis=0)) > ALL_OFF * spread + SURE * mean_error + levels
    return bool(hidden.sum() + off.sum() < least and not all_off.any())
