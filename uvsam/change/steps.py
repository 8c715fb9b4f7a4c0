"""Two periods compared leaf by leaf: the numbers of every village, and the ground that changed."""

import functools
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.lineage import Ground
from uvsam.change.overlay import Links, Polygons, areal, compare
from uvsam.change.store import Part, Store
from uvsam.engine.executors import Run, here

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class LeafTask:
    """What a worker needs to compare a leaf.

    Attributes:
        seen_before, seen_after: files with the ground that the images show, as WKB on the map; None is everywhere.
    """

    before: Store
    after: Store
    leaf: int
    seen_before: Path | None
    seen_after: Path | None
    tolerance_m: float
    min_change_m2: float


@dataclass(frozen=True)
class Side:
    """Villages of one period in a comparison, (N,) each.

    Attributes:
        rows: numbers in their period.
        area_m2: on ground that both periods show.
        observed: share of each that the other period shows.
        beyond: what was lost, or gained, beyond the tolerance.
    """

    rows: Index
    area_m2: Floats
    observed: Floats
    beyond: Polygons

    def ground(self) -> Ground:
        return Ground(self.area_m2, shapely.area(self.beyond), self.observed)


@dataclass(frozen=True)
class Compared:
    """Two periods, or a leaf of them; links have the rows of both periods."""

    before: Side
    after: Side
    links: Links


def compare_leaf(task: LeafTask) -> Compared:
    """Compare the villages of a leaf with whatever is near in the other period, in this leaf or in others."""
    own = task.before.read(task.leaf), task.after.read(task.leaf)
    stores = task.before, task.after
    around = [stores[other].near(task.leaf, _widened(own[1 - other].polygons, task.tolerance_m)) for other in (0, 1)]
    sides = [_joined(own[k], around[k]) for k in (0, 1)]
    seen = _seen(task.seen_before), _seen(task.seen_after)
    common = None if seen[0] is None and seen[1] is None else _common(task.seen_before, task.seen_after)
    clipped = [clip(side.polygons, common) for side in sides]
    found = compare(*clipped, tolerance_m=task.tolerance_m, min_change_m2=task.min_change_m2)
    mine = [np.arange(len(sides[k].rows)) < len(own[k].rows) for k in (0, 1)]
    parts = [
        Side(
            own[k].rows, shapely.area(clipped[k][mine[k]]), share_seen(own[k].polygons, seen[1 - k]),
            (found.lost, found.gained)[k][mine[k]],
        )
        for k in (0, 1)
    ]  # fmt: skip
    links = found.links.where(mine[0][found.links.before])  # the others are told by the leaf of the village before
    links = Links(sides[0].rows[links.before], sides[1].rows[links.after], links.area_m2)
    return Compared(parts[0], parts[1], links)


def compare_periods(
    before: Store, after: Store, *, tolerance_m: float, min_change_m2: float = 0.0, seen_before: Path | None = None,
    seen_after: Path | None = None, run: Run = here,
) -> Compared:  # fmt: skip
    """Compare all villages of two periods; their sides are in the order of the rows."""
    tasks = (
        LeafTask(before, after, leaf, seen_before, seen_after, tolerance_m, min_change_m2)
        for leaf in range(len(before.counts))
    )
    found = list(run(compare_leaf, tasks))
    links = Links(*(np.concatenate([getattr(one.links, name) for one in found]) for name in Links._fields))
    order = np.lexsort((links.after, links.before))
    return Compared(
        _all([one.before for one in found]), _all([one.after for one in found]), links.where(order)
    )  # fmt: skip


def _all(sides: list[Side]) -> Side:
    joined = {field.name: np.concatenate([getattr(side, field.name) for side in sides]) for field in fields(Side)}
    order = np.argsort(joined["rows"])
    return Side(**{name: values[order] for name, values in joined.items()})


def _joined(own: Part, around: Part) -> Part:
    return Part(np.concatenate([own.rows, around.rows]), np.concatenate([own.polygons, around.polygons]))


def _widened(polygons: Polygons, by_m: float) -> Floats:
    """The box around polygons; one that meets nothing where there are none."""
    box = shapely.total_bounds(polygons) if len(polygons) else np.array([np.inf, np.inf, -np.inf, -np.inf])
    return np.asarray(box + np.array([-by_m, -by_m, by_m, by_m]))


@functools.lru_cache(maxsize=16)
def _seen(path: Path | None) -> shapely.Geometry | None:
    if path is None:
        return None
    ground = shapely.from_wkb(path.read_bytes())
    shapely.prepare(ground)
    return ground


@functools.lru_cache(maxsize=8)
def _common(one: Path | None, other: Path | None) -> shapely.Geometry:
    grounds = [ground for ground in (_seen(one), _seen(other)) if ground is not None]
    common = grounds[0] if len(grounds) == 1 else shapely.intersection(*grounds)
    shapely.prepare(common)
    return common


def clip(polygons: Polygons, ground: shapely.Geometry | None) -> Polygons:
    """What of each polygon lies on a ground; None is everywhere."""
    if ground is None or not len(polygons):
        return polygons
    clipped = polygons.copy()
    crossing = ~shapely.covers(ground, polygons)
    clipped[crossing] = areal(shapely.intersection(polygons[crossing], ground))
    return clipped


def share_seen(polygons: Polygons, ground: shapely.Geometry | None) -> Floats:
    """The share of each polygon that lies on a ground; None is everywhere."""
    if ground is None or not len(polygons):
        return np.ones(len(polygons))
    share: Floats = shapely.area(clip(polygons, ground)) / shapely.area(polygons)
    return share
