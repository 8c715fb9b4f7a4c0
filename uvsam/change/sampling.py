"""A stratified random sample of places, for somebody to say what is really there."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.accuracy import NO_STRATUM_M2, allocate
from uvsam.change.overlay import Polygons, shared_ground

Floats = NDArray[np.float64]

STRATA = {1: ("other", "village"), 2: ("other", "lost", "gained", "kept")}
"""Classes by the number of layers: number = in the first layer + 2 * in the second one."""
AT_ONCE = 200_000
MOST_DRAWN = 5_000_000
"""Places that are drawn before a stratum is taken to be too small to be hit."""


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

    They are drawn from all of the ground, and kept as long as their stratum wants some; what a small stratum still
    wants then is drawn from its own ground.

    Args:
        layers: as in :func:`stratum_areas`.
        places, least: in all, and in each stratum; see :func:`uvsam.change.accuracy.allocate`.

    Returns:
        The area of a stratum below :data:`uvsam.change.accuracy.NO_STRATUM_M2` is 0, as no place is drawn there.

    Raises:
        LabelError: too few places.
    """
    area = stratum_areas(layers, ground)
    area[area < NO_STRATUM_M2] = 0.0
    wanted = allocate(area, places, least)
    rng = np.random.default_rng(seed)
    trees = [shapely.STRtree(layer) for layer in layers]
    left, bottom, right, top = shapely.bounds(ground)
    shapely.prepare(ground)
    found: list[Floats] = []
    strata: list[NDArray[np.intp]] = []
    still, drawn = wanted.copy(), 0
    while still.any() and drawn < MOST_DRAWN:
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
    for number in np.flatnonzero(still):
        found.append(_anywhere(_ground_of(layers, ground, int(number)), int(still[number]), rng))
        strata.append(np.full(still[number], number))
    order = rng.permutation(int(wanted.sum()))  # so that who fills it in does not learn the map's answer from the order
    return Sample(np.concatenate(found)[order], np.concatenate(strata)[order], area)


def _ground_of(layers: list[Polygons], ground: shapely.Geometry, stratum: int) -> shapely.Geometry:
    """All ground of a stratum."""
    whole = [shapely.union_all(layer) for layer in layers]
    for number, layer in enumerate(whole):
        cut = shapely.intersection if stratum >> number & 1 else shapely.difference
        ground = cut(ground, layer)
    return ground


def _anywhere(ground: shapely.Geometry, count: int, rng: np.random.Generator) -> Floats:
    """(N, 2) places with equal chances on a ground, however narrow it is."""
    parts = shapely.get_parts(ground)
    areal = parts[shapely.get_dimensions(parts) == 2]
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(areal))
    area = shapely.area(triangles)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    corners = shapely.get_coordinates(triangles[chosen]).reshape(count, -1, 2)[:, :3]
    along = rng.uniform(size=(count, 2))
    folded = np.where(along.sum(axis=1, keepdims=True) > 1, 1 - along, along)
    found: Floats = corners[:, 0] + ((corners[:, 1:] - corners[:, :1]) * folded[:, :, None]).sum(axis=1)
    return found
