"""Polygons where longitudes begin anew: at 180 degrees, or wherever x of a map has gone once around the Earth.

Everything here is told after how many units of x the same places come again (:func:`uvsam.raster.units.turn_of`);
where they do not (None), nothing changes. Longitudes may count from -180 to 180 or from 0 to 360, and polygons may
cross the border, cut there or not.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]
Floats = NDArray[np.float64]

NARROW = 1 / 12
WHOLE = 1e-9
"""An edge that is this near to a whole turn goes around the Earth, as those of a rectangle of the whole world."""


def unwrapped(polygons: Geometries, turn: float | None) -> Geometries:
    """Polygons whose rings nowhere jump by more than half a turn, each near the middle of the map.

    A jump from 179.9 to -179.9 is a step across the border. Holes stay in their rings; rings around a pole stay as they
    were.

    Args:
        polygons: (N,) polygons and multipolygons; other geometries are returned as they are.
    """
    if turn is None:
        return polygons
    areal = (shapely.get_dimensions(polygons) == 2) & ~shapely.is_empty(polygons)
    parts = shapely.get_parts(polygons[areal])
    parts = parts[~shapely.is_empty(parts)]
    if not len(parts):
        return polygons
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    width, furthest = np.ptp(xy[:, 0]), np.abs(xy[:, 0]).max()
    if not np.isfinite(furthest) or max(width, furthest) <= turn / 2:
        return polygons
    step = np.diff(xy[:, 0], prepend=xy[0, 0]) / turn
    jumps = (np.abs(step) > 0.5) & (np.abs(step) < 1 - WHOLE) & (np.diff(ring, prepend=-1) == 0)
    turns = np.cumsum(np.where(jumps, -np.sign(step), 0.0))
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    last = np.append(first[1:], len(ring)) - 1
    closed = turns[last] == turns[first]
    turns = np.where(closed[ring], turns - turns[first][ring], 0.0)
    x = xy[:, 0] + turn * turns

    left, right = np.minimum.reduceat(x, first), np.maximum.reduceat(x, first)
    outer = np.flatnonzero(np.diff(part, prepend=-1))[part]
    with_outer = -np.floor((left - left[outer]) / turn + WHOLE)  # holes go to where their ring is
    to_middle = -np.round((left[outer] + right[outer]) / 2 / turn)
    whole = right[outer] - left[outer] > turn / 2  # a polygon of half of the world stays where it is
    x += turn * (with_outer + np.where(whole, 0.0, to_middle))[ring]
    found = polygons.copy()
    found[areal] = shapely.set_coordinates(polygons[areal], np.stack([x, xy[:, 1]], axis=1))
    return found


def without_jumps(polygons: Geometries, turn: float | None) -> Geometries:
    """Polygons that were written with a jump across the border, :func:`unwrapped`; all others as they are.

    That they were is told from what they are without it: narrow.
    """
    if turn is None or not len(polygons):
        return polygons
    wide = np.flatnonzero(_width(polygons) > turn / 2)
    whole = unwrapped(polygons[wide], turn)
    jumped = (_part_width(polygons[wide]) > turn / 2) & (_part_width(whole) <= NARROW * turn)
    if not jumped.any():
        return polygons
    found = polygons.copy()
    found[wide[jumped]] = whole[jumped]
    return found


def beside(geometries: Geometries, turn: float | None, bounds: Sequence[float] | Floats) -> Geometries:
    """Geometries turned to where they meet a rectangle, part by part; those that never do, to where they are nearest.

    A part that meets it in several ways, as one of the whole world may, is there as often.

    Args:
        bounds: left, bottom, right, top.
    """
    if turn is None or not len(geometries) or not np.isfinite(bounds).all():
        return geometries
    found = without_jumps(geometries, turn)
    own = shapely.bounds(found)
    away = np.flatnonzero((own[:, 0] < bounds[0]) | (own[:, 2] > bounds[2]))
    if not len(away):
        return found
    parts, owner = shapely.get_parts(found[away], return_index=True)
    left, right = shapely.bounds(parts)[:, [0, 2]].T
    low, high = np.ceil((bounds[0] - right) / turn), np.floor((bounds[2] - left) / turn)
    never = ~(high >= low)
    middle = np.round(((bounds[0] + bounds[2]) / 2 - (left + right) / 2) / turn)
    low, high = np.where(never, middle, low), np.where(never, middle, high)
    times = (np.nan_to_num(high - low) + 1).astype(int)
    which = np.repeat(np.arange(len(parts)), times)
    by = low[which] + np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    owner = owner[which]
    turned = np.flatnonzero(np.bincount(owner, by != 0, len(away)))
    here = np.isin(owner, turned)
    found = found.copy()
    parts = _turned(parts[which[here]], turn * by[here])
    found[away[turned]] = _joined(parts, np.searchsorted(turned, owner[here]), found[away[turned]])
    return found


def split(polygons: Geometries, turn: float | None) -> Geometries:
    """Polygons between -turn / 2 and turn / 2, those that cross these borders cut there into parts (RFC 7946, 3.1.9).

    Law: the area stays; a polygon inside of the borders is the same object.
    """
    if turn is None or not len(polygons):
        return polygons
    found = unwrapped(polygons, turn).copy()
    own = shapely.bounds(found)
    beyond = np.flatnonzero((own[:, 0] < -turn / 2) | (own[:, 2] > turn / 2))
    if not len(beyond):
        return found
    left, bottom, right, top = shapely.total_bounds(found[beyond])
    pieces, owners = [], []
    for number in range(int(np.floor(left / turn + 0.5)), int(np.ceil(right / turn - 0.5)) + 1):
        middle = number * turn
        inside = shapely.intersection(found[beyond], shapely.box(middle - turn / 2, bottom, middle + turn / 2, top))
        parts, owner = shapely.get_parts(inside, return_index=True)
        areal = shapely.area(parts) > 0
        pieces.append(_turned(parts[areal], np.full(areal.sum(), -middle)))
        owners.append(owner[areal])
    found[beyond] = _joined(np.concatenate(pieces), np.concatenate(owners), found[beyond])
    return found


def together(boxes: Floats, turn: float | None) -> Floats:
    """Rectangles (N, 4) turned so that all of them are near each other, the first one where it was.

    They are taken apart where the widest stretch is without any. The rectangle around parts on both sides of the border
    tells nothing of them but that they are there.
    """
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if turn is None or not len(boxes):
        return boxes
    boxes = boxes.copy()
    boxes[boxes[:, 2] - boxes[:, 0] > turn / 2, ::2] = turn / 2
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    places = np.sort(middle % turn)
    gaps = np.diff(places, append=places[0] + turn)
    start = places[(gaps.argmax() + 1) % len(places)]
    turns = np.floor((middle - start) / turn + WHOLE)
    boxes[:, ::2] -= turn * (turns - turns[0])[:, None]
    return boxes


def around(boxes: Floats) -> Floats:
    """Left, bottom, right, top of all rectangles (N, 4); NaN of none."""
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known):  # shapely.total_bounds refuses an empty array
        return np.full(4, np.nan)
    found: Floats = np.concatenate([known[:, :2].min(axis=0), known[:, 2:].max(axis=0)])
    return found


def _width(geometries: Geometries) -> Floats:
    left, _, right, _ = shapely.bounds(geometries).reshape(-1, 4).T
    width: Floats = right - left
    return width


def _part_width(geometries: Geometries) -> Floats:
    """Width of the widest part of each geometry."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    widest = np.zeros(len(geometries))
    np.fmax.at(widest, owner, _width(parts))
    return widest


def _turned(geometries: Geometries, by: Floats) -> Geometries:
    """Geometries moved along x, each by its own distance."""
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    xy[:, 0] += by[owner]
    turned: Geometries = shapely.set_coordinates(geometries.copy(), xy)
    return turned


def _joined(parts: Geometries, owner: NDArray[np.intp], like: Geometries) -> Geometries:
    """Parts as one geometry for each of ``like``; a part that is alone stays what it is."""
    count = np.bincount(owner, minlength=len(like))
    order, ends = np.argsort(owner, kind="stable"), np.cumsum(count)
    found = like.copy()
    found[owner] = parts
    for index in np.flatnonzero(count > 1):
        found[index] = shapely.union_all(parts[order[ends[index] - count[index] : ends[index]]])
    return found
