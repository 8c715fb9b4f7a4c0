"""A stratified random sample of places, for somebody to say what is really there."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.accuracy import allocate
from uvsam.change.overlay import Polygons, shared_ground
from uvsam.errors import LabelError

Floats = NDArray[np.float64]

STRATA = {1: ("other", "village"), 2: ("other", "lost", "gained", "kept")}
"""Classes by the number of layers: number = in the first layer + 2 * in the second one."""
AT_ONCE = 200_000
MOST_DRAWN = 50_000_000
"""Places that are drawn before a stratum is given up as too small to hit."""


class Sample(NamedTuple):
    """Places (N, 2) on the map, the stratum of each (N,), and the area of every stratum (K,) in m2."""

    places: Floats
    stratum: NDArray[np.intp]
    area_m2: Floats


def stratum_areas(layers: list[Polygons], ground: shapely.Geometry) -> Floats:
    """Area of each stratum on a ground.

    Args:
        layers: one or two, clipped to the ground; polygons of one do not overlap each other.
    """
    areas = [float(shapely.area(layer).sum()) for layer in layers]
    shared = float(shared_ground(*layers).area_m2.sum()) if len(layers) == 2 else 0.0
    inside = [areas[0]] if len(layers) == 1 else [areas[0] - shared, areas[1] - shared, shared]
    found: Floats = np.maximum(0.0, np.array([shapely.area(ground) - sum(inside), *inside]))
    return found


def draw(layers: list[Polygons], ground: shapely.Geometry, places: int, least: int, seed: int) -> Sample:
    """Places with equal chances within each stratum.

    They are drawn from all of the ground, and kept as long as their stratum wants some.

    Args:
        layers: as in :func:`stratum_areas`.
        places, least: in all, and in each stratum; see :func:`uvsam.change.accuracy.allocate`.

    Raises:
        LabelError: too few places, or a stratum is too small to be hit.
    """
    area = stratum_areas(layers, ground)
    wanted = allocate(np.where(area < 1.0, 0.0, area), places, least)
    rng = np.random.default_rng(seed)
    trees = [shapely.STRtree(layer) for layer in layers]
    left, bottom, right, top = shapely.bounds(ground)
    shapely.prepare(ground)
    found: list[Floats] = []
    strata: list[NDArray[np.intp]] = []
    still, drawn = wanted.copy(), 0
    while still.any():
        if drawn >= MOST_DRAWN:
            names = [name for name, n in zip(STRATA[len(layers)], still, strict=True) if n]
            raise LabelError(
                f"too little ground is {', '.join(names)} to draw places there; ask for fewer with --least"
            )
        xy = rng.uniform((left, bottom), (right, top), (AT_ONCE, 2))
        drawn += AT_ONCE
        xy = xy[shapely.contains_xy(ground, xy)]
        kind = np.zeros(len(xy), np.intp)
        for k, tree in enumerate(trees):
            hit, _ = tree.query(shapely.points(xy), predicate="intersects")
            kind[np.unique(hit)] += 1 << k
        for number in np.flatnonzero(still):
            some = np.flatnonzero(kind == number)[: still[number]]
            found.append(xy[some])
            strata.append(np.full(len(some), number))
            still[number] -= len(some)
    order = rng.permutation(int(wanted.sum()))  # so that who fills it in does not learn the map's answer from the order
    return Sample(np.concatenate(found)[order], np.concatenate(strata)[order], area)
