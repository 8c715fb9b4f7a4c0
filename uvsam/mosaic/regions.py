"""Regions: connected villages of the score raster, across seams, in strips of rows."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uvsam.errors import SettingsError
from uvsam.mosaic.morphology import close_mask, disc_half_widths
from uvsam.mosaic.scores import LEVELS, Strip, lowest_level, raster_shape, read_strips, strip_rows
from uvsam.progress import Progress, silent
from uvsam.raster.writer import RasterWriter

_BLOCK_PX = 1_000_000
_NOTHING = np.array([2**62, 2**62, -1, -1])  # bounds of no pixel


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
    """

    scores_path: Path
    rules: RegionRules
    gsd_m: tuple[float, float]
    rows: int
    pixels: NDArray[np.int64]
    mean_score: NDArray[np.float64]
    on_edge: NDArray[np.bool_]
    bounds_px: NDArray[np.int64]
    strips: tuple[tuple[NDArray[np.int32], NDArray[np.int32]], ...]  # per strip: labels that survive, their regions

    def __len__(self) -> int:
        return len(self.pixels)


def find_regions(
    scores_path: Path | str,
    rules: RegionRules,
    gsd_m: tuple[float, float],
    *,
    seeds_path: Path | str | None = None,
    rows: int | None = None,
    progress: Progress = silent,
) -> Regions:
    """4-connected regions of a score raster.

    Foreground is ``score >= threshold``, closed with a disc of ``close_m``; pixels that were not looked at are never
    foreground. Law: the result does not depend on ``rows`` and is that of labelling the whole array at once. Memory
    grows with the number of regions and not with the raster: what is too small or too weak and lies within a strip is
    forgotten at once.

    Args:
        scores_path: uint8 score raster (see :mod:`uvsam.mosaic.scores`).
        gsd_m: ground metres per pixel (x, y).
        seeds_path: score raster on the same grid whose scores are compared with ``seed_threshold``; default: the same.
        rows: rows per strip, for tests.

    Raises:
        SceneError: the raster cannot be read.
    """
    height, width = raster_shape(scores_path)
    halo_px = _halo_px(rules, gsd_m)
    rows = rows or strip_rows(width, halo_px)
    # Half a pixel in a million forgives the rounding of the pixel area.
    min_pixels = rules.min_area_m2 / (gsd_m[0] * gsd_m[1]) * (1 - 1e-9)
    seed = lowest_level(rules.seed_threshold)

    parts = _Parts()
    previous = np.zeros(width, np.int32)
    strips = read_strips(scores_path, halo_px=halo_px, rows=rows)
    seeds = None if seeds_path is None else read_strips(seeds_path, rows=rows)
    for strip in strips:
        seeding = strip if seeds is None else next(seeds)
        labels, count = _label(strip, rules, gsd_m)
        if count:
            part = _measure(strip, labels, count, seeding.values[seeding.core])
            keep = (part.pixels >= min_pixels) & (part.max_level >= seed)
            # A region that goes on in the next strip is judged when it is complete.
            if strip.row > 0:
                keep[labels[0]] = True
            if strip.row + strip.rows < height:
                keep[labels[-1]] = True
            keep[0] = False
            table = parts.add(part, keep)
            parts.join(previous, table[labels[0]])
            previous = table[labels[-1]]
        else:
            parts.add_nothing()
            previous = np.zeros(width, np.int32)
        progress("joining villages across tiles (image rows)", strip.row + strip.rows, height)
    return parts.merge(Path(scores_path), rules, gsd_m, rows, min_pixels, seed)


def region_strips(regions: Regions) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """(first row, region of every pixel (rows, W) int32, 0 for none) for each strip that has a region, from the top.

    The labels are computed a second time, which costs less than keeping a raster of them.
    """
    halo_px = _halo_px(regions.rules, regions.gsd_m)
    strips = read_strips(regions.scores_path, halo_px=halo_px, rows=regions.rows)
    for strip, (kept, ids) in zip(strips, regions.strips, strict=True):
        if kept.size:
            labels, count = _label(strip, regions.rules, regions.gsd_m)
            table = np.zeros(count + 1, np.int32)
            table[kept] = ids
            yield strip.row, table.take(labels, mode="clip")


def write_regions(regions: Regions, geobox: GeoBox, path: Path) -> None:
    """Write the region of every pixel as an int32 raster, 0 for none; blocks without a region take no space.

    For reading regions in windows; strips are the cheaper way to pass over all of them.

    Args:
        geobox: grid of the score raster.

    Raises:
        OutputError: the raster cannot be written.
    """
    with RasterWriter(path, geobox, dtype="int32", nodata=0, zlevel=1) as writer:
        for row, labels in region_strips(regions):
            writer.write(labels, row, 0)


def _halo_px(rules: RegionRules, gsd_m: tuple[float, float]) -> int:
    """A closing looks two radii away; whether a pixel touches what was not looked at, one row."""
    return max(1, 2 * (len(disc_half_widths(rules.close_m, gsd_m)) - 1))


def _label(strip: Strip, rules: RegionRules, gsd_m: tuple[float, float]) -> tuple[NDArray[np.int32], int]:
    """Labels (rows, W) int32 of the strip's own rows, and how many there are."""
    mask = strip.values >= lowest_level(rules.threshold)
    if rules.close_m:
        mask = close_mask(mask, rules.close_m, gsd_m) & (strip.values > 0)
    mask = mask[strip.core]
    if not mask.any():
        return np.zeros(mask.shape, np.int32), 0
    if mask.all():
        return np.ones(mask.shape, np.int32), 1
    labels = np.empty(mask.shape, np.int32)
    return labels, int(ndimage.label(mask, output=labels))


@dataclass(frozen=True)
class _Part:
    """Statistics of one strip's labels; entry 0 is the background."""

    pixels: NDArray[np.int64]
    level_sum: NDArray[np.int64]
    max_level: NDArray[np.uint8]
    on_edge: NDArray[np.bool_]
    bounds_px: NDArray[np.int64]


def _measure(strip: Strip, labels: NDArray[np.int32], count: int, seeds: NDArray[np.uint8]) -> _Part:
    pixels, level_sum = np.zeros((2, count + 1), np.int64)
    max_level = np.zeros(count + 1, np.uint8)
    on_edge = np.zeros(count + 1, np.bool_)
    bounds_px = np.full((count + 1, 4), _NOTHING)
    # In blocks of rows: the counting below takes 17 bytes per pixel.
    step = max(1, _BLOCK_PX // labels.shape[1])
    for start in range(0, len(labels), step):
        block = labels[start : start + step]
        first = strip.core.start + start
        around = strip.values[first - 1 : first + len(block) + 1]
        inside = block > 0
        where, levels = block[inside], around[1:-1][inside]
        pixels += np.bincount(where, minlength=count + 1)
        level_sum += np.bincount(where, levels, minlength=count + 1).astype(np.int64)
        np.maximum.at(max_level, where, seeds[start : start + step][inside])
        _extend(bounds_px, block, strip.row + start)

        on_edge[block[:, [0, -1]]] = True
        unseen = around == 0  # also the rows outside the scene
        if unseen.any():
            on_edge[block[unseen[:-2] | unseen[2:]]] = True
            on_edge[block[:, 1:][unseen[1:-1, :-1]]] = True
            on_edge[block[:, :-1][unseen[1:-1, 1:]]] = True
    return _Part(pixels, level_sum, max_level, on_edge, bounds_px)


def _extend(bounds_px: NDArray[np.int64], labels: NDArray[np.int32], row: int) -> None:
    """Extend the bounds of labels by a block whose first row is ``row``: by the ends of its runs, not all pixels."""
    changes = np.diff(labels, axis=1, prepend=0, append=0) != 0
    y, x = np.nonzero(changes[:, :-1] & (labels > 0))
    label = labels[y, x]
    np.minimum.at(bounds_px[:, 0], label, y + row)
    np.minimum.at(bounds_px[:, 1], label, x)
    np.maximum.at(bounds_px[:, 2], label, y + row + 1)
    y, x = np.nonzero(changes[:, 1:] & (labels > 0))
    np.maximum.at(bounds_px[:, 3], labels[y, x], x + 1)


class _Parts:
    """Collects what survives of each strip and which parts of neighbouring strips are one region."""

    def __init__(self) -> None:
        self._size = 0
        self._parts: list[_Part] = []
        self._labels: list[NDArray[np.int32]] = []
        self._seams: list[NDArray[np.int32]] = []

    def add_nothing(self) -> None:
        self._labels.append(np.zeros(0, np.int32))

    def add(self, part: _Part, keep: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Keep some labels of the next strip; returns label -> number of the part, from 1 (0 for what is dropped)."""
        kept = np.flatnonzero(keep).astype(np.int32)
        self._labels.append(kept)
        self._parts.append(_Part(*(getattr(part, field.name)[kept] for field in fields(_Part))))
        table = np.zeros(len(keep), np.int32)
        table[kept] = np.arange(self._size + 1, self._size + 1 + len(kept))
        self._size += len(kept)
        return table

    def join(self, above: NDArray[np.int32], below: NDArray[np.int32]) -> None:
        """Part numbers along the two sides of a seam: those face to face are one region."""
        touching = (above > 0) & (below > 0)
        if touching.any():
            self._seams.append(np.unique(np.stack([above[touching], below[touching]]), axis=1))

    def merge(
        self,
        scores_path: Path,
        rules: RegionRules,
        gsd_m: tuple[float, float],
        rows: int,
        min_pixels: float,
        seed: int,
    ) -> Regions:
        size = self._size
        seams = np.concatenate(self._seams, axis=1) - 1 if self._seams else np.zeros((2, 0), np.int32)
        graph = coo_array((np.ones(seams.shape[1], np.bool_), (seams[0], seams[1])), shape=(size, size))
        count, group = connected_components(graph, directed=False) if size else (0, np.zeros(0, np.int32))

        def collect(name: str, *shape: int) -> NDArray[np.int64]:
            parts = [getattr(part, name) for part in self._parts] or [np.zeros((0, *shape))]
            return np.concatenate(parts).astype(np.int64)

        pixels, level_sum = np.zeros((2, count), np.int64)
        max_level, on_edge = np.zeros((2, count), np.int64)
        np.add.at(pixels, group, collect("pixels"))
        np.add.at(level_sum, group, collect("level_sum"))
        np.maximum.at(max_level, group, collect("max_level"))
        np.maximum.at(on_edge, group, collect("on_edge"))
        bounds_px, bounds_of_parts = np.tile(_NOTHING, (count, 1)), collect("bounds_px", 4)
        np.minimum.at(bounds_px[:, :2], group, bounds_of_parts[:, :2])
        np.maximum.at(bounds_px[:, 2:], group, bounds_of_parts[:, 2:])

        first = np.full(count, size)
        np.minimum.at(first, group, np.arange(size))
        order = np.argsort(first)
        order = order[(pixels[order] >= min_pixels) & (max_level[order] >= seed)]
        region = np.zeros(count, np.int32)
        region[order] = np.arange(1, len(order) + 1)

        strips, start = [], 0
        for labels in self._labels:
            ids = region[group[start : start + len(labels)]]
            strips.append((labels[ids > 0], ids[ids > 0]))
            start += len(labels)
        pixels, level_sum, on_edge = pixels[order], level_sum[order], on_edge[order]
        return Regions(
            scores_path=scores_path,
            rules=rules,
            gsd_m=gsd_m,
            rows=rows,
            pixels=pixels,
            mean_score=(level_sum - pixels) / (pixels * LEVELS),
            on_edge=on_edge.astype(np.bool_),
            bounds_px=bounds_px[order],
            strips=tuple(strips),
        )
