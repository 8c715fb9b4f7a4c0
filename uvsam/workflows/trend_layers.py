"""What ``uvsam trends`` writes of followed villages: its layers and its tables."""

import datetime
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from uvsam.change.accounts import changes, period_table, step_table, trend_rows, village_table
from uvsam.change.hot_spots import Grid, InCells, cells_for, ground_without_coverage, hot_spots
from uvsam.change.intervals import is_significant, outline_half_m2, together
from uvsam.change.lineage import LineageRules
from uvsam.change.overlay import Polygons
from uvsam.change.places import count_in_zones, cumulative, distances_m, rings
from uvsam.change.steps import clip
from uvsam.change.store import Store
from uvsam.engine.executors import Run, here
from uvsam.errors import SettingsError
from uvsam.raster.units import turn_of
from uvsam.vectors.antimeridian import beside, split
from uvsam.vectors.geopackage import Rows
from uvsam.vectors.polygon_files import moved, multipolygons, repaired, to_wkb
from uvsam.vectors.schema import CHANGES, HISTORIES, HOT_SPOTS, ZONES, Layer
from uvsam.vectors.zone_files import Zones
from uvsam.workflows.following import Followed

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class TrendSettings:
    """What a user can choose.

    Attributes:
        dates: one for each file, where the files do not say.
        tolerance_m: outlines that differ by less are the same.
        min_change_m2: smaller pieces of gained or lost ground do not count.
        rules: see :class:`LineageRules`.
        align: whether the layers are moved onto the first one.
        centre: longitude and latitude that distances and rings are measured from.
        rings_km: outer radii of rings around it.
        zones: polygon file of districts, see :func:`uvsam.vectors.zone_files.read_zones`.
        cell_m: side of the cells in which hot spots are looked for.
        reference: a sample that was filled in, see :mod:`uvsam.workflows.reference`.
        workers, dask: see :func:`uvsam.engine.executors.open_run`.
    """

    dates: tuple[datetime.date, ...] = ()
    tolerance_m: float = 3.0
    min_change_m2: float = 50.0
    rules: LineageRules = field(default_factory=LineageRules)
    align: bool = True
    centre: tuple[float, float] | None = None
    rings_km: tuple[float, ...] = ()
    zones: Path | None = None
    cell_m: float = 500.0
    reference: Path | None = None
    workers: int = 1
    dask: "str | Client | None" = None

    def __post_init__(self) -> None:
        if not (self.tolerance_m >= 0 and self.min_change_m2 >= 0 and self.cell_m > 0):
            raise SettingsError("tolerance and smallest change cannot be negative, and cells need a size")
        if self.rings_km and self.centre is None:
            raise SettingsError("rings need a centre; say where with --centre")
        if list(self.rings_km) != sorted(set(self.rings_km)) or any(edge <= 0 for edge in self.rings_km):
            raise SettingsError("radii of rings must rise from above 0, as in 2,4,6")


@dataclass(frozen=True)
class Trends:
    """The tables of a trend; their columns are explained in ``docs/reading_trends.md``.

    Attributes:
        periods, steps, slopes, zones: one row for each period; step; measure; zone and period.
        shifts: east, north, error in metres, of how many villages or windows, for each period.
        corrected: areas by the reference sample; no rows without one.
    """

    periods: pd.DataFrame
    steps: pd.DataFrame
    slopes: pd.DataFrame
    zones: pd.DataFrame
    shifts: pd.DataFrame
    corrected: pd.DataFrame


@dataclass
class TrendLayers:
    """What is written of followed villages. Outlines stay where their layer has them; changes lie on the first period.

    Args:
        crs: of what is written; that of the first layer.
        around: left, bottom, right, top of the first layer.
        districts: zones of the user's own.
        run: where leaves are worked on.
    """

    followed: Followed
    settings: TrendSettings
    crs: CRS | None
    around: NDArray[np.float64]
    districts: Zones | None = None
    run: Run = here

    @property
    def dates(self) -> list[datetime.date]:
        return [period.date for period in self.followed.periods]

    def tables(self, corrected: pd.DataFrame) -> Trends:
        followed, dates = self.followed, self.dates
        areas, ground = self.areas, [float(one["ground_m2"].sum()) for one in self._tables]
        seen = [np.nan if ground is None else shapely.area(ground) for ground in self.seen]
        steps = step_table(dates, followed.histories, followed.steps, followed.histories.ended)
        outlines = [together(one) for one in self.outline_halves]
        doubt = [float(one.sum()) for one in self.threshold_halves]
        steps["change_half_m2"] = [
            float(np.hypot(*a)) + abs(b[1] - b[0]) for a, b in zip(pairwise(outlines), pairwise(doubt), strict=True)
        ]
        steps["significant"] = (steps["after_m2"] - steps["before_m2"]).abs() > steps["change_half_m2"]
        periods = period_table(dates, areas, ground, seen).assign(area_half_m2=np.hypot(outlines, doubt))
        slopes = trend_rows(dates, {"villages": [len(one) for one in areas], "area_m2": ground})
        shifts = pd.DataFrame(
            [(period.shift.east_m, period.shift.north_m, period.shift.error_m, period.shift.count,
              period.shift.told_from) for period in followed.periods],
            columns=["east_m", "north_m", "error_m", "count", "told_from"],
        )  # fmt: skip
        return Trends(periods, steps, slopes, self.zone_table, shifts, corrected)

    @cached_property
    def _tables(self) -> list[pd.DataFrame]:
        return [period.store.table() for period in self.followed.periods]

    @property
    def areas(self) -> list[NDArray[np.float64]]:
        return [table["area_m2"].to_numpy() for table in self._tables]

    @cached_property
    def outline_halves(self) -> list[NDArray[np.float64]]:
        """Half the 95 % interval of the area of each village, from its outline."""
        return [outline_half_m2(table["perimeter_m"].to_numpy(), self.settings.tolerance_m) for table in self._tables]

    @cached_property
    def threshold_halves(self) -> list[NDArray[np.float64]]:
        """Half of what hangs on the threshold of each village's scores; 0 where its layer does not say."""
        return [np.nan_to_num((one["area_high_m2"] - one["area_low_m2"]).to_numpy() / 2) for one in self._tables]

    def _halves(self, period: int) -> NDArray[np.float64]:
        half: NDArray[np.float64] = np.hypot(self.outline_halves[period], self.threshold_halves[period])
        return half

    @cached_property
    def seen(self) -> list[shapely.Geometry | None]:
        return [
            None if period.seen is None else shapely.from_wkb(period.seen.read_bytes())
            for period in self.followed.periods
        ]

    def histories(self) -> Iterator[Rows]:
        """Layer ``histories``: every village of every period."""
        told = self.followed.histories
        count = max((int(ids.max(initial=0)) for ids in told.ids), default=0) + 1
        first, last = np.full(count, len(self.dates)), np.zeros(count, int)
        for period, ids in enumerate(told.ids):
            first[ids] = np.minimum(first[ids], period)
            last[ids] = period
        dates = np.array(self.dates, "datetime64[s]")
        half_before = dict(zip(told.ids[0].tolist(), self._halves(0).tolist(), strict=True))
        for period, described in enumerate(self.followed.periods):
            half, ids = self._halves(period), told.ids[period]
            table = village_table(told, self.followed.steps, period)
            before = np.array([half_before.get(history, 0.0) for history in ids.tolist()])
            change = (table["after_m2"] - table["before_m2"] - table["exchanged_m2"]).to_numpy()
            half_before = dict(zip(ids.tolist(), half.tolist(), strict=True))
            table = table.assign(
                area_m2=self.areas[period], area_low_m2=np.maximum(0, self.areas[period] - half),
                area_high_m2=self.areas[period] + half, confidence=self._tables[period]["confidence"].to_numpy(),
                significant=is_significant(np.nan_to_num(change), before, half), first_seen=dates[first[ids]],
                last_seen=dates[last[ids]], **self._valid(period),
            )  # fmt: skip
            ends = np.cumsum(described.store.counts)
            for leaf, end in enumerate(ends.tolist()):
                rows = table.iloc[end - int(described.store.counts[leaf]) : end]
                outlines = described.store.outlines(leaf).combine_chunks()
                yield Rows(rows[list(HISTORIES.columns)], outlines, self.crs)

    def _valid(self, period: int) -> dict[str, Any]:
        dates = np.array([*self.dates, None], "datetime64[s]")
        return {"valid_from": dates[period], "valid_to": dates[period + 1]}

    def changes(self) -> Iterator[Rows]:
        """Layer ``changes``: ground gained and lost in each step."""
        for period in range(1, len(self.dates)):
            told = changes(self.followed.histories, self.followed.steps, period)
            table = pd.DataFrame(
                {"history_id": told.history_id, "kind": told.kind, "event": told.event,
                 "area_m2": shapely.area(told.polygons)}
            ).assign(**self._valid(period - 1))  # fmt: skip
            yield self._rows(CHANGES, table, told.polygons)

    @cached_property
    def zones(self) -> Polygons:
        """Rings and districts, on the map."""
        return np.concatenate([zones for _, zones in self._zone_sets])

    @cached_property
    def _zone_sets(self) -> tuple[tuple[list[str], Polygons], ...]:
        """Names and polygons, rings and districts apart: within a set a village is counted once."""
        edges = self.settings.rings_km
        names = [f"{low:g} to {high:g} km" for low, high in pairwise([0.0, *edges])]
        round_centre = rings(self.centre, [1000 * edge for edge in edges]) if edges else np.empty(0, object)
        own = self.districts
        named = ([], np.empty(0, object)) if own is None else (own.names, own.layer.to_crs(self.followed.crs))
        return (names, round_centre), named

    @cached_property
    def centre(self) -> tuple[float, float]:
        if self.settings.centre is None or self.followed.crs is None:
            raise SettingsError("a centre needs layers with a place on earth")
        x, y = Transformer.from_crs("EPSG:4326", self.followed.crs, always_xy=True).transform(*self.settings.centre)
        return float(x), float(y)

    @cached_property
    def zone_table(self) -> pd.DataFrame:
        """Villages of each zone and period; areas on the ground that the period's image shows."""
        found = pd.concat(
            [self._zones_of(period, *zones) for period in range(len(self.dates)) for zones in self._zone_sets],
            ignore_index=True,
        )
        unseen = found[found["seen_share"] == 0].groupby("valid_from")["zone"]
        for date, zones in unseen:
            warnings.warn(
                f"{len(zones)} zones are on no ground that was looked at on {date:%Y-%m-%d}: {', '.join(zones[:5])}"
                + (" ..." if len(zones) > 5 else ""),
                stacklevel=2,
            )
        return found

    def _zones_of(self, period: int, names: list[str], zones: Polygons) -> pd.DataFrame:
        store, ground = self.followed.periods[period].store, self.seen[period]
        shown = clip(zones, ground)
        villages, area = np.zeros(len(zones), np.intp), np.zeros(len(zones))
        for part in store.parts() if len(zones) else ():
            held = count_in_zones(part.polygons, shown)
            villages, area = villages + held.villages, area + held.area_m2
        size, whole = shapely.area(shown), shapely.area(zones)
        share = np.divide(area, size, out=np.full(len(size), np.nan), where=size > 0)
        return pd.DataFrame(
            {
                "zone": names,
                "villages": villages,
                "area_m2": area,
                "zone_m2": size,
                "seen_share": size / whole,
                "share": share,
            }
        ).assign(**self._valid(period))

    def zone_layer(self) -> Rows:
        """Layer ``zones``: every zone once for each period."""
        return self._rows(ZONES, self.zone_table, np.tile(self.zones, len(self.dates)))

    @property
    def furthest_m(self) -> float:
        """From the centre to the last village."""
        return max(float(one.max(initial=0)) for one in self._distances)

    @cached_property
    def _distances(self) -> list[NDArray[np.float64]]:
        stores = [period.store for period in self.followed.periods]
        return [
            np.concatenate([np.empty(0), *(distances_m(part.polygons, self.centre) for part in store.parts())])
            for store in stores
        ]

    def curves(self, at_m: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Share of each period's village land within each distance of the centre."""
        found = []
        for period, table in enumerate(self._tables):
            found.append(cumulative(self._distances[period], table["ground_m2"].to_numpy(), at_m))
        return found

    def hot_spots(self) -> Iterator[Rows]:
        """Layer ``hot_spots``: cells of each period."""
        cell_m = self._cell_m
        for period, described in enumerate(self.followed.periods):
            store, ground = described.store, self.seen[period]
            grid = Grid.over(self._extent(period), cell_m)
            parts = self.run(_land_of, [_LandTask(store, leaf, grid) for leaf in range(len(store.counts))])
            land = InCells.joined(found for _, found in sorted(parts, key=lambda part: part[0]))
            seen = ground_without_coverage(grid, land) if ground is None else grid.land(shapely.get_parts([ground]))
            found = hot_spots(grid, land, seen)
            table = pd.DataFrame({"area_m2": found.area_m2, "z": found.z, "significant": found.significant})
            yield self._rows(HOT_SPOTS, table.assign(**self._valid(period)), found.cells)

    def _extent(self, period: int) -> NDArray[np.float64]:
        """Left, bottom, right, top of the villages and of the ground that was looked at."""
        ground = self.seen[period]
        both = [self.followed.periods[period].store.total_bounds, shapely.bounds(ground or shapely.Polygon())]
        low, high = np.fmin.reduce(both)[:2], np.fmax.reduce(both)[2:]
        return np.concatenate([low, high])

    @property
    def _cell_m(self) -> float:
        """Side of the cells, larger than wanted where there would be too many."""
        wanted = self.settings.cell_m
        needed = wanted
        for period, described in enumerate(self.followed.periods):
            extent, ground, land = self._extent(period), self.seen[period], self.areas[period]
            needed = max(needed, cells_for(extent, ground, len(described.store), float(land.sum()), wanted))
            if ground is None and Grid.over(extent, wanted).is_wide:
                self._say_wide(period, extent)
        if needed > wanted:
            warnings.warn(
                f"cells of {wanted:g} m would be too many for this ground; hot spots are told in cells of {needed:g} m "
                f"(--cell-m {needed:g})",
                stacklevel=2,
            )
        return needed

    def _say_wide(self, period: int, extent: NDArray[np.float64]) -> None:
        """Warn that villages are so far apart that not all ground between them is looked at, and which is furthest."""
        store = self.followed.periods[period].store
        boxes = np.concatenate([shapely.bounds(part.polygons).reshape(-1, 4) for part in store.parts()])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        x, y = centres[np.argmax(np.hypot(*(centres - np.median(centres, axis=0)).T))]
        if self.followed.crs is not None and self.crs is not None:
            x, y = Transformer.from_crs(self.followed.crs, self.crs, always_xy=True).transform(x, y)
        apart = float(np.hypot(*(extent[2:] - extent[:2])))
        warnings.warn(
            f"villages of {self.dates[period]} lie {apart / 1000:,.0f} km apart, the furthest from the others at "
            f"{x:.8g}, {y:.8g}; hot spots are looked for near villages only. Delete that one if it is a mistake, or "
            "give the layers a coverage",
            stacklevel=2,
        )

    def _rows(self, layer: Layer, table: pd.DataFrame, polygons: Polygons) -> Rows:
        """Rows of a layer, brought from the map to where they are written."""
        if self.followed.crs is not None and self.crs is not None:
            polygons = repaired(moved(polygons, self.followed.crs, self.crs))
            polygons = self._framed(polygons, whole=layer.geometry_type == "Polygon")
        if layer.geometry_type == "MultiPolygon":
            polygons = multipolygons(polygons)
        kept = ~shapely.is_empty(polygons)  # of a sliver nothing may be left
        return Rows(table.loc[kept, list(layer.columns)], pa.array(to_wkb(polygons[kept]), pa.binary()), self.crs)

    def _framed(self, polygons: Polygons, *, whole: bool) -> Polygons:
        """Where longitudes begin anew, on the side of the first layer; where that stays within the borders, cut there.

        Args:
            whole: nothing is cut.
        """
        turn = None if self.crs is None else turn_of(self.crs)
        if turn is None:
            return polygons
        if np.abs(self.around[[0, 2]]).max() > turn / 2:
            return beside(polygons, turn, self.around)
        return polygons if whole else split(polygons, turn)


class _LandTask(NamedTuple):
    store: Store
    leaf: int
    grid: Grid


def _land_of(task: _LandTask) -> tuple[int, InCells]:
    """Number of the leaf, and the village land of its villages in cells."""
    return task.leaf, task.grid.land(task.store.read(task.leaf).polygons)
