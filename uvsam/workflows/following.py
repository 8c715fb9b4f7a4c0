"""From village layers of several dates to histories: read, aligned, compared step by step, followed."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from uvsam.change.overlay import Polygons
from uvsam.change.steps import Compared, compare_periods, share_seen
from uvsam.change.store import Leaves, Store, store
from uvsam.engine.executors import Run, here
from uvsam.errors import LabelError
from uvsam.progress import Progress, silent
from uvsam.vectors.local_map import map_around
from uvsam.vectors.periods import PeriodSource, crs_of, read_bounds, read_lazily
from uvsam.vectors.polygon_files import read_coverage

ALIGNED_FROM = 3000
"""A shift is told from about so many villages."""


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
    periods: list[Period] = []

    tasks = [
        _StoreTask(number, source, len(boxes), crs, crs_of(sources[0]), leaves, folder / str(number))
        for number, (source, boxes) in enumerate(zip(sources, bounds, strict=True))
    ]
    stores: dict[int, Store] = {}
    for number, stored in run(_store, tasks):
        progress("reading layers", len(stores), len(sources))
        stores[number] = stored
    pairs = [
        _ShiftTask(number, (before, after), (stores[number - 1], stores[number]), crs)
        for number, (before, after) in enumerate(pairwise(sources), start=1)
    ]
    between = dict(run(_shift_between, pairs)) if align else {}
    shift = Shift()
    for number, source in enumerate(sources):
        shift = _sum_of(shift, between.get(number, Shift()))
        seen = _seen(source, crs, shift, folder / f"{number}.wkb")
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
    rows: int
    crs: CRS | None
    kept_in: CRS | None
    leaves: Leaves
    folder: Path


def _store(task: _StoreTask) -> tuple[int, Store]:
    villages = read_lazily(task.source, task.rows, task.crs, task.kept_in)
    return task.number, store(villages, task.leaves, task.folder)


def _common_map(sources: Sequence[PeriodSource], bounds: list[NDArray[np.float64]]) -> tuple[CRS | None, Leaves]:
    places = [crs_of(source) for source in sources]
    if any(place is None for place in places) and any(place is not None for place in places):
        without = next(source.path for source, place in zip(sources, places, strict=True) if place is None)
        raise LabelError(f"{without} has no coordinate reference system, and others have; assign it first")
    first = next((k for k, boxes in enumerate(bounds) if len(boxes)), None)
    if first is None:
        raise LabelError("there is no village in any of these layers")
    crs = None
    if (place := places[first]) is not None:
        own = bounds[first]
        crs = map_around((*own[:, :2].min(axis=0), *own[:, 2:].max(axis=0)), place)
    centres = []
    for place, boxes in zip(places, bounds, strict=True):
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        if place is not None:
            x, y = Transformer.from_crs(place, crs, always_xy=True).transform(x, y)
        centres.append(np.stack([x, y], axis=-1))
    largest = max(centres, key=len)
    return crs, Leaves.of(largest)


class _ShiftTask(NamedTuple):
    number: int
    sources: tuple[PeriodSource, PeriodSource]
    stores: tuple[Store, Store]
    crs: CRS | None


def _shift_between(task: _ShiftTask) -> tuple[int, Shift]:
    """Where a layer lies beside the one before: told from the images, else from the villages."""
    found, (before, after) = Shift(), (source.image for source in task.sources)
    if before is not None and after is not None and task.crs is not None:
        found = estimate_image_shift(before, after, task.crs)
    return task.number, found if found.is_known else estimate_shift(*_sample(*task.stores))


def _sum_of(shift: Shift, found: Shift) -> Shift:
    """The shift from the first layer, of one that was found beside a layer with a shift and an error of its own."""
    if not found.is_known:
        return Shift()
    whole = replace(
        found, east_m=found.east_m + shift.east_m, north_m=found.north_m + shift.north_m,
        error_m=math.hypot(found.error_m, np.nan_to_num(shift.error_m)),
    )  # fmt: skip
    return replace(whole, east_m=0.0, north_m=0.0) if whole.is_nothing else whole


def _seen(source: PeriodSource, crs: CRS | None, shift: Shift, path: Path) -> Path | None:
    """File with the ground that a layer's image shows, moved onto the first one; None where the layer does not say."""
    coverage = read_coverage(source.path)
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
