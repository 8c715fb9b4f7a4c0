"""From village layers of several dates to histories: read, aligned, compared step by step, followed."""

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from uvsam.change.alignment import Shift, estimate_shift
from uvsam.change.histories import Histories
from uvsam.change.images import estimate_image_shift
from uvsam.change.lineage import LineageRules, step
from uvsam.change.overlay import Overlap, Polygons
from uvsam.change.steps import Compared, compare_periods, share_seen
from uvsam.change.store import Leaves, Store, store
from uvsam.engine.executors import Run, here
from uvsam.errors import LabelError
from uvsam.progress import Progress, silent
from uvsam.raster.units import turn_of
from uvsam.vectors.antimeridian import together
from uvsam.vectors.local_map import map_around
from uvsam.vectors.periods import PeriodSource, crs_of, read_bounds, read_lazily
from uvsam.vectors.polygon_files import PolygonLayer, read_coverage, seen_extent
from uvsam.vectors.whereabouts import Extent, check_common_ground, extent_of_villages

ALIGNED_FROM = 3000
"""A shift is told from about so many villages."""

NO_PLACE = CRS.from_epsg(6933)
"""The map where there is nothing to lay one around: equal-area, of the whole earth."""


@dataclass(frozen=True)
class Period:
    """One date of a trend.

    Attributes:
        store: its villages, moved onto the first period.
        seen: file with the ground that its image shows, WKB on the map, moved with them; None where nobody said.
        shift: where its image lies beside that of the first period.
        image: uri of the one that its villages were found in, where it is at hand.
    """

    date: datetime.date
    store: Store
    seen: Path | None
    shift: Shift
    image: str | None = None


@dataclass(frozen=True)
class Followed:
    """Villages of all periods, compared.

    Attributes:
        crs: the map, equal-area and in metres; None for layers without a place on earth.
        steps: from each period to the next.
    """

    crs: CRS | None
    periods: list[Period]
    steps: list[Compared]
    histories: Histories


def follow(
    sources: Sequence[PeriodSource], folder: Path, *, tolerance_m: float = 3.0, min_change_m2: float = 50.0,
    rules: LineageRules | None = None, align: bool = True, run: Run = here, progress: Progress = silent,
) -> Followed:  # fmt: skip
    """Compare the villages of all periods.

    Args:
        sources: at least two, in the order of time.
        folder: for what lies on disk meanwhile; empty. Where a Dask cluster helps, its workers see it under this name.
        tolerance_m: outlines that differ by less are the same.
        min_change_m2: smaller pieces of gained or lost ground do not count.
        align: whether the layers are moved onto the first one.

    Raises:
        LabelError: the layers cannot be brought to one map.
    """
    rules = rules or LineageRules()
    bounds = [read_bounds(source) for source in sources]
    crs, leaves = _common_map(sources, bounds)
    grounds = [read_coverage(source.path) for source in sources]
    check_common_ground([extent(*one) for one in zip(sources, bounds, grounds, strict=True)])
    periods: list[Period] = []

    tasks = [
        _StoreTask(number, source, crs, crs_of(sources[0]), leaves, folder / str(number))
        for number, source in enumerate(sources)
    ]
    stores: dict[int, Store] = {}
    for number, stored in run(_store, tasks):
        progress("reading layers", len(stores), len(sources))
        stores[number] = stored
        say_overlap(stored.overlap, sources[number].path)
    shifts = _shifts(sources, stores, crs, run) if align else [Shift()] * len(sources)
    for number, (source, shift) in enumerate(zip(sources, shifts, strict=True)):
        seen = _seen(grounds[number], crs, shift, folder / f"{number}.wkb")
        periods.append(Period(source.date, stores[number].moved(shift), seen, shift, source.image))
    progress("reading layers", len(sources), len(sources))

    histories = Histories(len(periods[0].store), rules, tolerance_m)
    steps = []
    for number, (before, after) in enumerate(pairwise(periods)):
        progress("comparing periods", number, len(periods) - 1)
        compared = compare_periods(
            before.store, after.store, tolerance_m=tolerance_m, min_change_m2=min_change_m2, seen_before=before.seen,
            seen_after=after.seen, run=run,
        )  # fmt: skip
        happened = step(compared.before.ground(), compared.after.ground(), compared.links, rules)
        ground = None if after.seen is None else shapely.from_wkb(after.seen.read_bytes())

        def shows(polygons: Polygons, ground: shapely.Geometry | None = ground) -> NDArray[np.float64]:
            return share_seen(polygons, ground)

        histories.advance(happened, before.store.polygons, after.store.polygons, shows)
        steps.append(compared)
    progress("comparing periods", len(steps), len(steps))
    return Followed(crs, periods, steps, histories)


class _StoreTask(NamedTuple):
    number: int
    source: PeriodSource
    crs: CRS | None
    kept_in: CRS | None
    leaves: Leaves
    folder: Path


def _store(task: _StoreTask) -> tuple[int, Store]:
    villages = read_lazily(task.source, task.crs, task.kept_in)
    return task.number, store(villages, task.leaves, task.folder)


def _common_map(sources: Sequence[PeriodSource], bounds: list[NDArray[np.float64]]) -> tuple[CRS | None, Leaves]:
    places = [crs_of(source) for source in sources]
    if any(place is None for place in places) and any(place is not None for place in places):
        without = next(source.path for source, place in zip(sources, places, strict=True) if place is None)
        raise LabelError(f"{without} has no coordinate reference system, and others have; assign it first")
    crs = None if places[0] is None else _equal_area(sources, places, bounds)
    centres = []
    for place, boxes in zip(places, bounds, strict=True):
        boxes = boxes if place is None else together(boxes, turn_of(place))
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        if place is not None:
            x, y = Transformer.from_crs(place, crs, always_xy=True).transform(x, y)
        centres.append(np.stack([x, y], axis=-1))
    largest = max(centres, key=len)
    return crs, Leaves.of(largest)


def _equal_area(sources: Sequence[PeriodSource], places: list[CRS | None], bounds: list[NDArray[np.float64]]) -> CRS:
    """An equal-area map around the villages of the first period that has some; else around what was looked at."""
    for place, own in zip(places, bounds, strict=True):
        if place is not None and len(own):
            return map_around(own, place)
    for source in sources:
        coverage = read_coverage(source.path)
        if coverage is not None and coverage.crs is not None and len(coverage.polygons):
            return map_around(shapely.bounds(shapely.get_parts(coverage.polygons)), coverage.crs)
    return NO_PLACE


class _ShiftTask(NamedTuple):
    number: int
    beside: int
    sources: tuple[PeriodSource, PeriodSource]
    stores: tuple[Store, Store]
    crs: CRS | None


def _shifts(sources: Sequence[PeriodSource], stores: dict[int, Store], crs: CRS | None, run: Run) -> list[Shift]:
    """Where each layer lies beside the first one."""
    tasks = []
    for number in range(1, len(sources)):
        beside = _told_beside(sources, stores, number)
        pair = (sources[beside], sources[number]), (stores[beside], stores[number])
        tasks.append(_ShiftTask(number, beside, *pair, crs))
    between = dict(run(_shift_between, tasks))
    found = [Shift()]
    for task in tasks:
        between_both = between[task.number]
        found.append(found[task.beside].then(between_both) if between_both.is_known else found[-1].carried())
    return found


def _told_beside(sources: Sequence[PeriodSource], stores: dict[int, Store], number: int) -> int:
    """The layer that another one's shift is told from: the one before, unless it has nothing to tell it from."""
    before = number - 1
    images = sources[before].image is not None and sources[number].image is not None
    with_villages = (k for k in range(before, -1, -1) if len(stores[k]))
    return before if images else next(with_villages, before)


def _shift_between(task: _ShiftTask) -> tuple[int, Shift]:
    """Where a layer lies beside an earlier one: told from the images, else from the villages."""
    found, (before, after) = Shift(), (source.image for source in task.sources)
    if before is not None and after is not None and task.crs is not None:
        found = estimate_image_shift(before, after, task.crs)
    return task.number, found if found.is_known else estimate_shift(*_sample(*task.stores))


def extent(source: PeriodSource, bounds: NDArray[np.float64], ground: PolygonLayer | None) -> Extent:
    """Where a layer is: the ground that its image shows, else its villages."""
    if ground is not None and len(ground.polygons):
        return seen_extent(source.path, ground)
    return extent_of_villages(source.path, bounds, crs_of(source))


def say_overlap(overlap: Overlap, path: Path) -> None:
    """Warn that polygons of a layer lie over each other, if so."""
    if overlap.polygons:
        inside = f"; left out as they lie wholly in others: {overlap.inside}" if overlap.inside else ""
        warnings.warn(
            f"{path} has polygons over others of the same layer ({overlap.polygons}, on {overlap.area_m2:,.0f} m²); "
            f"this ground is counted once{inside}",
            stacklevel=3,
        )


def _seen(coverage: PolygonLayer | None, crs: CRS | None, shift: Shift, path: Path) -> Path | None:
    """File with the ground that a layer's image shows, moved onto the first one; None where the layer does not say."""
    if coverage is None or not len(coverage.polygons):
        return None
    ground = shapely.union_all(coverage.to_crs(crs))
    path.write_bytes(shapely.to_wkb(shift.take_off(np.array([ground]))[0]))
    return path


def _sample(before: Store, after: Store) -> tuple[Polygons, Polygons]:
    """Villages of the leaves that have most, until there are enough."""
    chosen: list[int] = []
    total = 0
    for leaf in np.argsort(-before.counts, kind="stable").tolist():
        if total >= ALIGNED_FROM:
            break
        chosen.append(leaf)
        total += int(before.counts[leaf])
    return tuple(  # type: ignore[return-value]
        np.concatenate([np.empty(0, object), *(one.read(leaf).polygons for leaf in chosen)]) for one in (before, after)
    )
