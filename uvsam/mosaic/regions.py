"""Regions: connected villages of the score raster, across seams, in strips of rows."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uvsam.engine.executors import Run, here, in_order
from uvsam.errors import SettingsError
from uvsam.mosaic.morphology import close_mask, disc_half_widths
from uvsam.mosaic.runs import Ints, Runs, by_blocks, find_runs, label_runs, paint_runs
from uvsam.mosaic.scores import LEVELS, Strip, block_shape, lowest_level, plan_strips, raster_shape, read_strip
from uvsam.progress import Progress, silent
from uvsam.raster.window import Window
from uvsam.raster.writer import RasterWriter, quick_compression

_NOTHING = np.array([2**62, 2**62, -1, -1])  # bounds of no pixel
FEW_RUNS = 2**14
"""So many runs of a strip's regions are kept, 256 KB; where there are more, they are found a second time."""


@dataclass(frozen=True)
class RegionRules:
    """What counts as a region.

    Attributes:
        threshold: pixels with at least this score are foreground; 0 takes every pixel that was looked at.
        seed_threshold: a region is kept if one of its pixels reaches this score (hysteresis). With a generalist
            these are the scores of the specialist, not the refined ones.
        min_area_m2: smaller regions are dropped; counted after closing.
        close_m: gaps narrower than this (lanes, yards) are bridged: closing with a disc of this diameter.
    """

    threshold: float
    seed_threshold: float
    min_area_m2: float = 0.0
    close_m: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SettingsError(f"threshold must lie between 0 and 1, not {self.threshold}")
        if not self.threshold <= self.seed_threshold <= 1:
            raise SettingsError(
                f"seed threshold must lie between the threshold ({self.threshold}) and 1, not {self.seed_threshold}"
            )
        if not self.min_area_m2 >= 0 or not self.close_m >= 0:
            raise SettingsError("minimum area and closing distance cannot be negative")


@dataclass(frozen=True)
class Regions:
    """Regions ``1 .. len(regions)`` in the order of their first pixels, row by row; entry ``i`` is region ``i + 1``.

    Attributes:
        rows: rows per strip the regions were found with.
        pixels: (N,) int64, size in pixels.
        mean_score: (N,) float64, mean score of the region's pixels: the expected share of it that is village.
        on_edge: (N,) bool, touches the scene's border or a pixel that was not looked at.
        bounds_px: (N, 4) int64, first row, first column, and one past the last row and column.
        strips: those that have a region, from the top.
    """

    scores_path: Path
    rules: RegionRules
    gsd_m: tuple[float, float]
    rows: int
    pixels: NDArray[np.int64]
    mean_score: NDArray[np.float64]
    on_edge: NDArray[np.bool_]
    bounds_px: NDArray[np.int64]
    strips: tuple["RegionStrip", ...]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class RegionStrip:
    """A strip of the scene and which of its labels are which regions: a task, small enough to travel.

    Attributes:
        few: what :meth:`runs` returns; None where that is much, and computed a second time.
    """

    scores_path: Path
    rules: RegionRules
    gsd_m: tuple[float, float]
    rows: range
    labels: Ints
    regions: Ints
    few: Runs | None = None

    def read(self) -> Strip:
        """The scores that the labels come from."""
        return read_strip(self.scores_path, self.rows, halo_px=_halo_px(self.rules, self.gsd_m))

    def runs(self, strip: Strip | None = None) -> Runs:
        """Runs of the regions in this strip.

        Args:
            strip: its scores, where they are read already.
        """
        if self.few is not None:
            return self.few
        strip = strip or self.read()
        runs, count = label_runs(find_runs(_foreground(strip, self.rules, self.gsd_m), strip.row))
        table = np.zeros(count + 1, np.int32)
        table[self.labels] = self.regions
        return _relabelled(runs, table)


def find_regions(
    scores_path: Path | str,
    rules: RegionRules,
    gsd_m: tuple[float, float],
    *,
    seeds_path: Path | str | None = None,
    rows: int | None = None,
    run: Run = here,
    progress: Progress = silent,
) -> Regions:
    """4-connected regions of a score raster.

    Foreground is ``score >= threshold``, closed with a disc of ``close_m``; pixels that were not looked at are never
    foreground. Law: the result does not depend on ``rows`` and is that of labelling the whole array at once. Memory
    grows with the number of regions, and at most by :data:`FEW_RUNS` for each strip: what is too small or too weak and
    lies within a strip is forgotten at once.

    Args:
        scores_path: uint8 score raster (see :mod:`uvsam.mosaic.scores`).
        gsd_m: ground metres per pixel (x, y).
        seeds_path: score raster on the same grid whose scores are compared with ``seed_threshold``; default: the same.
        rows: rows per strip, for tests.
        run: where strips are computed; its workers read the rasters under the same names.

    Raises:
        SceneError: the raster cannot be read.
    """
    scores_path = Path(scores_path).absolute()
    seeds_path = None if seeds_path is None else Path(seeds_path).absolute()
    height, width = raster_shape(scores_path)
    planned = plan_strips(scores_path, halo_px=_halo_px(rules, gsd_m), rows=rows)
    parts = _Parts(width)
    tasks = (_Strip(scores_path, seeds_path, rules, gsd_m, rows, height) for rows in planned)
    for strip, found in zip(planned, in_order(run, _find, tasks), strict=True):
        parts.add(found)
        progress("joining villages across tiles (image rows)", strip.stop, height)
    regions, strips = parts.merge(rules, gsd_m)
    return Regions(
        scores_path=scores_path,
        rules=rules,
        gsd_m=gsd_m,
        rows=len(planned[0]),
        pixels=regions.pixels,
        mean_score=(regions.level_sum - regions.pixels) / (regions.pixels * LEVELS),
        on_edge=regions.on_edge,
        bounds_px=regions.bounds_px,
        strips=tuple(
            RegionStrip(scores_path, rules, gsd_m, rows, *found)
            for rows, found in zip(planned, strips, strict=True)
            if found[0].size
        ),
    )


def write_regions(regions: Regions, geobox: GeoBox, path: Path, *, run: Run = here) -> None:
    """Write the region of every pixel as an int32 raster, 0 for none; blocks without a region take no space.

    For reading regions in windows; runs of strips are the cheaper way to pass over all of them.

    Args:
        geobox: grid of the score raster.
        run: where strips are looked at.

    Raises:
        OutputError: the raster cannot be written.
    """
    block = block_shape(regions.scores_path)
    with RasterWriter(path, geobox, dtype="int32", nodata=0, block_px=block, **quick_compression()) as writer:
        found = in_order(run, RegionStrip.runs, regions.strips)
        for strip, runs in zip(regions.strips, found, strict=True):
            for window, some in by_blocks(runs, strip.rows, block, geobox.shape[1]):
                writer.write(paint_runs(some, window), window.row, window.col)


def _halo_px(rules: RegionRules, gsd_m: tuple[float, float]) -> int:
    """A closing looks two radii away."""
    return 2 * (len(disc_half_widths(rules.close_m, gsd_m)) - 1)


def _least_px(rules: RegionRules, gsd_m: tuple[float, float]) -> float:
    # A part in a thousand million forgives the rounding of the pixel area.
    return rules.min_area_m2 / (gsd_m[0] * gsd_m[1]) * (1 - 1e-9)


def _foreground(strip: Strip, rules: RegionRules, gsd_m: tuple[float, float]) -> NDArray[np.bool_]:
    """(rows, W) of the strip's own rows."""
    mask: NDArray[np.bool_] = strip.values >= lowest_level(rules.threshold)
    if rules.close_m:
        mask = close_mask(mask, rules.close_m, gsd_m) & (strip.values > 0)
    return mask[strip.core]


class _Strip(NamedTuple):
    """A task: find the parts of regions in some rows."""

    scores_path: Path
    seeds_path: Path | None
    rules: RegionRules
    gsd_m: tuple[float, float]
    rows: range
    height: int


@dataclass(frozen=True)
class _Part:
    """Statistics of some labels."""

    pixels: NDArray[np.int64]
    level_sum: NDArray[np.int64]
    max_level: NDArray[np.uint8]
    on_edge: NDArray[np.bool_]
    bounds_px: NDArray[np.int64]

    def take(self, index: NDArray[np.int64]) -> "_Part":
        return _Part(*(getattr(self, field.name)[index] for field in fields(self)))


class _Found(NamedTuple):
    """What survives of a strip.

    Attributes:
        labels: (K,) what the strip calls them.
        part: of these.
        first, last: (W,) number among these, from 1, along the first and the last row; 0 for none, -1 for a pixel that
            was not looked at.
        few: their runs, labelled by these numbers; None where there are many.
    """

    labels: Ints
    part: _Part
    first: Ints
    last: Ints
    few: Runs | None


def _find(task: _Strip) -> _Found:
    rules, rows = task.rules, task.rows
    strip = read_strip(task.scores_path, rows, halo_px=_halo_px(rules, task.gsd_m))
    levels, mask = strip.values[strip.core], _foreground(strip, rules, task.gsd_m)
    runs, count = label_runs(find_runs(mask))
    seeds = levels if task.seeds_path is None else read_strip(task.seeds_path, rows).values
    part = _measure(levels, mask, runs, count, seeds)
    part.bounds_px[:, [0, 2]] += rows.start
    keep = (part.pixels >= _least_px(rules, task.gsd_m)) & (part.max_level >= lowest_level(rules.seed_threshold))
    # A region that goes on in the next strip is judged when it is complete.
    if rows.start > 0:
        keep[runs.label[runs.row == 0] - 1] = True
    if rows.stop < task.height:
        keep[runs.label[runs.row == len(rows) - 1] - 1] = True
    kept = np.flatnonzero(keep)
    table = np.zeros(count + 1, np.int32)
    table[kept + 1] = np.arange(1, len(kept) + 1)
    runs = _relabelled(runs, table)
    first, last = (
        np.where(levels[row] == 0, -1, paint_runs(runs.take(runs.row == row), Window(row, 0, 1, mask.shape[1]))[0])
        for row in (0, len(rows) - 1)
    )
    few = runs._replace(row=runs.row + np.int32(rows.start)) if len(runs.row) <= FEW_RUNS else None
    return _Found((kept + 1).astype(np.int32), part.take(kept), first, last, few)


def _relabelled(runs: Runs, table: Ints) -> Runs:
    """Runs with other labels; those that become 0 are gone."""
    runs = runs._replace(label=table[runs.label])
    return runs.take(runs.label > 0)


def _measure(
    levels: NDArray[np.uint8], mask: NDArray[np.bool_], runs: Runs, count: int, seeds: NDArray[np.uint8]
) -> _Part:
    pixels, level_sum = np.zeros((2, count), np.int64)
    max_level, on_edge = np.zeros(count, np.uint8), np.zeros(count, np.bool_)
    bounds_px = np.tile(_NOTHING, (count, 1))
    if not count:
        return _Part(pixels, level_sum, max_level, on_edge, bounds_px)
    label, lengths, width = runs.label - 1, runs.stop - runs.start, mask.shape[1]
    # The foreground's pixels in one line, and where in it each run begins.
    begins = np.append(0, np.cumsum(lengths, dtype=np.int64)[:-1])
    np.add.at(pixels, label, lengths)
    whole = bool(mask.all())  # as where all was looked at; then nothing need be picked out
    inside, seeds_inside = (values.reshape(-1) if whole else values[mask] for values in (levels, seeds))
    np.add.at(level_sum, label, np.add.reduceat(inside, begins, dtype=np.uint32))  # of a row; int64 takes four times
    np.maximum.at(max_level, label, np.maximum.reduceat(seeds_inside, begins))

    on_edge[label[(runs.start == 0) | (runs.stop == width)]] = True
    unseen = levels == 0
    if unseen.any():
        on_edge[label[unseen[runs.row, runs.start - 1] | unseen[runs.row, runs.stop % width]]] = True
        near = np.zeros_like(mask)
        near[1:] = unseen[:-1]
        near[:-1] |= unseen[1:]
        on_edge[label[np.logical_or.reduceat(near[mask], begins)]] = True

    for bound, field in enumerate((runs.row, runs.start)):
        np.minimum.at(bounds_px[:, bound], label, field)
    for bound, field in enumerate((runs.row + 1, runs.stop), start=2):
        np.maximum.at(bounds_px[:, bound], label, field)
    return _Part(pixels, level_sum, max_level, on_edge, bounds_px)


_OfStrip = tuple[Ints, Ints, Runs | None]
"""The last fields of a :class:`RegionStrip`."""


class _Parts:
    """Collects what survives of each strip and which parts of neighbouring strips are one region."""

    def __init__(self, width: int) -> None:
        self._size = 0
        self._found: list[tuple[Ints, _Part, Runs | None]] = []
        self._seams: list[NDArray[np.int64]] = []
        self._on_edge: list[NDArray[np.int64]] = []
        self._above = np.full(width, -1)  # parts along the last row, from 1; nothing was looked at above the scene

    def add(self, found: _Found) -> None:
        """Add the next strip. Parts face to face along the seam are one region."""
        above, below = self._above, self._numbers(found.first)
        touching = (above > 0) & (below > 0)
        if touching.any():
            self._seams.append(np.unique(np.stack([above[touching], below[touching]]), axis=1))
        self._on_edge += [above[(above > 0) & (below < 0)], below[(below > 0) & (above < 0)]]
        self._above = self._numbers(found.last)
        self._found.append((found.labels, found.part, found.few))
        self._size += len(found.labels)

    def _numbers(self, line: Ints) -> NDArray[np.int64]:
        return np.where(line > 0, line + np.int64(self._size), line)

    def merge(self, rules: RegionRules, gsd_m: tuple[float, float]) -> tuple[_Part, list[_OfStrip]]:
        """The regions, and for each strip the labels that are of one, of which, from 1, and their runs."""
        size = self._size
        seams = np.concatenate(self._seams, axis=1) - 1 if self._seams else np.zeros((2, 0), np.int64)
        graph = coo_array((np.ones(seams.shape[1], np.bool_), (seams[0], seams[1])), shape=(size, size))
        count, group = connected_components(graph, directed=False) if size else (0, np.zeros(0, np.int32))

        def collect(name: str) -> NDArray[np.int64]:
            return np.concatenate([getattr(part, name) for _, part, _ in self._found])

        pixels, level_sum = np.zeros((2, count), np.int64)
        max_level, on_edge = np.zeros(count, np.uint8), np.zeros(count, np.bool_)
        bounds_px = np.tile(_NOTHING, (count, 1))
        np.add.at(pixels, group, collect("pixels"))
        np.add.at(level_sum, group, collect("level_sum"))
        np.maximum.at(max_level, group, collect("max_level"))
        on_edge[group[collect("on_edge")]] = True
        beyond = self._above[self._above > 0]  # the scene's last row
        on_edge[group[np.concatenate([*self._on_edge, beyond]) - 1]] = True
        bounds_of_parts = collect("bounds_px")
        np.minimum.at(bounds_px[:, :2], group, bounds_of_parts[:, :2])
        np.maximum.at(bounds_px[:, 2:], group, bounds_of_parts[:, 2:])

        first = np.full(count, size)
        np.minimum.at(first, group, np.arange(size))
        order = np.argsort(first)
        order = order[
            (pixels[order] >= _least_px(rules, gsd_m)) & (max_level[order] >= lowest_level(rules.seed_threshold))
        ]
        region = np.zeros(count, np.int32)
        region[order] = np.arange(1, len(order) + 1)

        strips, start = [], 0
        for labels, _, few in self._found:
            ids = region[group[start : start + len(labels)]]
            few = few and _relabelled(few, np.append(np.int32(0), ids))
            strips.append((labels[ids > 0], ids[ids > 0], few))
            start += len(labels)
        return _Part(pixels, level_sum, max_level, on_edge, bounds_px).take(order), strips
