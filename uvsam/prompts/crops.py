"""Where the generalist looks: crops of one size that hold all regions."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from uvsam.prompts.regions import CELLS
from uvsam.raster.resample import model_size
from uvsam.raster.window import Window

MARGIN_CELLS = 13
"""Context around a region, a twentieth of the crop: what is longer than 0.9 of a crop is seen in several."""
STEP_CELLS = CELLS - 2 * MARGIN_CELLS
"""Crops of one region start at most so far apart. Half a crop took 1.6 times as many crops for the same outlines."""


@dataclass(frozen=True)
class Crop:
    """A square that the generalist sees at once.

    Attributes:
        window: 256 x 256 cells of a grid from the scene's upper left corner; may reach beyond the scene at its lower
            and right border.
        regions: ids of the regions to look for in it.
    """

    window: Window
    regions: tuple[int, ...]


def plan_crops(
    region_ids: Sequence[int],
    bounds_px: NDArray[np.int64],
    cell_xy: tuple[float, float],
    scene_shape: tuple[int, int],
) -> list[Crop]:
    """Crops for some regions, in the order of their place, from the top.

    A region lies in the middle of its crop, and one too long for it along an axis in several, evenly spaced, so that
    the bounds and a margin around them are covered. A region that fits, with its margin, into a crop
    that is planned anyway shares it. No crop starts outside the scene, and none ends there that need not.

    Args:
        region_ids: (N,).
        bounds_px: (N, 4) first row, first column, one past the last row and column, in scene pixels.
        cell_xy: scene pixels per cell (x, y).
        scene_shape: (height, width) of the scene in pixels.
    """
    x, y = cell_xy
    height, width = model_size(scene_shape[0], y), model_size(scene_shape[1], x)
    in_cells = np.reshape(bounds_px, (-1, 4)) / np.array([y, x, y, x])
    crops: dict[tuple[int, int], list[int]] = defaultdict(list)
    near: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)

    def add(place: tuple[int, int], region: int) -> None:
        if place not in crops:
            near[place[0] // CELLS, place[1] // CELLS].append(place)
        crops[place].append(region)

    small = []
    for region, (top, left, bottom, right) in zip(region_ids, in_cells.tolist(), strict=True):
        places = list(product(_starts(top, bottom, height), _starts(left, right, width)))
        if len(places) > 1:
            for place in places:
                add(place, region)
        else:
            small.append((region, top, left, bottom, right, places[0]))
    for region, top, left, bottom, right, own in small:
        # A crop that holds the region starts less than its side before it.
        row, col = int(top) // CELLS, int(left) // CELLS
        shared = (
            place
            for key in product((row - 1, row), (col - 1, col))
            for place in near.get(key, ())
            if _fits(top, bottom, place[0], height) and _fits(left, right, place[1], width)
        )
        add(next(shared, own), region)
    return [Crop(Window(*place, CELLS, CELLS), tuple(sorted(crops[place]))) for place in sorted(crops)]


def _starts(first: float, stop: float, total: int) -> list[int]:
    """Where the crops of a region start along one axis."""
    beyond = max(0.0, stop - first + 2 * MARGIN_CELLS - CELLS)
    count = 1 + math.ceil(beyond / STEP_CELLS)
    middle = (first + stop - CELLS) / 2
    apart = beyond / max(1, count - 1)
    starts = (middle + apart * (index - (count - 1) / 2) for index in range(count))
    return sorted({max(0, min(math.floor(start + 0.5), total - CELLS)) for start in starts})


def _fits(first: float, stop: float, start: int, total: int) -> bool:
    """Whether a region lies in a crop with its margin, or up to the scene's border."""
    return (start == 0 or start + MARGIN_CELLS <= first) and (
        start + CELLS >= total or stop <= start + CELLS - MARGIN_CELLS
    )
