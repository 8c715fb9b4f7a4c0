"""Where the villages are: zones, rings around a centre, distances, and hot spots."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.trends.overlay import Links, Polygons, shared_ground

Floats = NDArray[np.float64]

ROUND = 64
"""Segments of a quarter of a ring: its area is right to 0.01 %."""


class InZone(NamedTuple):
    """Villages of each zone (Z,): how many have most of their ground there, and square metres of village in it."""

    villages: NDArray[np.intp]
    area_m2: Floats


def rings(centre: tuple[float, float], edges_m: Sequence[float]) -> Polygons:
    """The disc up to the first edge, and a ring from each edge to the next.

    Args:
        centre: x, y on the map.
        edges_m: radii, rising.
    """
    discs = shapely.buffer(shapely.Point(centre), list(edges_m), quad_segs=ROUND)
    found: Polygons = shapely.difference(discs, np.concatenate([[shapely.Polygon()], discs[:-1]]))
    return found


def count_in_zones(villages: Polygons, zones: Polygons) -> InZone:
    """Villages by zone; a village across a border is counted once, and its area where it lies.

    Args:
        villages, zones: on one map in metres; zones do not overlap.
    """
    shapely.prepare(zones)
    inside, whole = shapely.STRtree(villages).query(zones, predicate="covers")[::-1]
    crossing = np.ones(len(villages), bool)
    crossing[inside] = False
    cut = shared_ground(villages[crossing], zones)
    links = Links(
        np.concatenate([np.flatnonzero(crossing)[cut.before], inside]), np.concatenate([cut.after, whole]),
        np.concatenate([cut.area_m2, shapely.area(villages[inside])]),
    )  # fmt: skip
    area = np.bincount(links.after, links.area_m2, minlength=len(zones)).astype(float)
    order = np.lexsort((-links.after, links.area_m2))  # of places that are assigned again and again, the last stays
    zone = np.full(len(villages), -1, np.intp)
    zone[links.before[order]] = links.after[order]
    return InZone(np.bincount(zone[zone >= 0], minlength=len(zones)).astype(np.intp), area)


def distances_m(villages: Polygons, centre: tuple[float, float]) -> Floats:
    """From the centre to the centroid of each village."""
    found: Floats = shapely.distance(shapely.centroid(villages), shapely.Point(centre))
    return found


def cumulative(distance_m: Floats, area_m2: Floats, at_m: Floats) -> Floats:
    """Share of all village land that lies within each distance of ``at_m``."""
    order = np.argsort(distance_m)
    total = np.concatenate([[0.0], np.cumsum(area_m2[order])])
    share: Floats = total[np.searchsorted(distance_m[order], at_m, side="right")] / max(total[-1], 1e-12)
    return share


class HotSpots(NamedTuple):
    """Cells of a grid (C,): squares, village land in each, z of Getis-Ord Gi*, and whether it is significant."""

    cells: Polygons
    area_m2: Floats
    z: Floats
    significant: NDArray[np.bool_]


def hot_spots(
    villages: Iterable[Polygons], observed: shapely.Geometry, cell_m: float, *, level: float = 0.05
) -> HotSpots:
    """Where village land gathers, or is missing, more than by chance (Getis-Ord Gi*, Ord & Getis 1995).

    Cells that were not looked at take no part. A cell's neighbours are the eight around it. Significance is two-sided
    and keeps the rate of false discoveries below ``level`` (Benjamini & Hochberg 1995), as cells are many.

    Args:
        villages: in parts, so that not all of them are in memory at once.
    """
    left, bottom, right, top = shapely.bounds(observed)
    x, y = np.meshgrid(np.arange(left, right, cell_m), np.arange(bottom, top, cell_m))
    squares = shapely.box(x.ravel(), y.ravel(), x.ravel() + cell_m, y.ravel() + cell_m)
    seen = shapely.area(shapely.intersection(squares, observed)) / cell_m**2
    looked_at = seen > 0.5
    cells, column, row = squares[looked_at], *(part.ravel()[looked_at] for part in np.indices(x.shape)[::-1])
    area = sum((count_in_zones(part, cells).area_m2 for part in villages), start=np.zeros(len(cells)))
    z = _getis_ord(area / seen[looked_at], column, row)
    return HotSpots(cells, area, z, _discoveries(z, level))


def _getis_ord(values: Floats, column: NDArray[np.intp], row: NDArray[np.intp]) -> Floats:
    """z of Gi* with queen neighbours; 0 everywhere where nothing varies."""
    from esda.getisord import G_Local
    from libpysal.weights import W  # slow to import, and only this function needs it

    if len(values) < 3 or np.ptp(values) == 0:
        return np.zeros(len(values))
    at = {place: k for k, place in enumerate(zip(column.tolist(), row.tolist(), strict=True))}
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    near = {k: [at[x + i, y + j] for i, j in around if (x + i, y + j) in at] for (x, y), k in at.items()}
    weights = W(near, silence_warnings=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # a cell whose neighbours are all cells has no z
        z = G_Local(values, weights, transform="B", star=True, permutations=0).Zs
    found: Floats = np.nan_to_num(np.asarray(z))
    return found


def _discoveries(z: Floats, level: float) -> NDArray[np.bool_]:
    from scipy.stats import false_discovery_control, norm

    if not len(z):
        return np.zeros(0, bool)
    found: NDArray[np.bool_] = false_discovery_control(2 * norm.sf(np.abs(z))) < level
    return found
