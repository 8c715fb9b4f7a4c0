"""How much larger or smaller regions would be at a lower or a higher threshold."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from uvsam.engine.executors import Run, here
from uvsam.mosaic.regions import RegionRules, Regions, RegionStrip, find_regions
from uvsam.mosaic.runs import Ints, Runs, by_blocks, values_along
from uvsam.mosaic.scores import Strip, block_shape, lowest_level
from uvsam.progress import Progress, silent
from uvsam.raster.access import open_dataset, read_window

BAND = 1.0
"""Log-odds to either side of the threshold: a pixel of score 0.5 is in doubt if it has 0.27 to 0.73."""


class Band(NamedTuple):
    """Of each region (N,): pixels that it would lose at the upper threshold, and gain at the lower one."""

    loses: NDArray[np.float64]
    gains: NDArray[np.float64]


def band_of(regions: Regions, *, run: Run = here, progress: Progress = silent) -> Band:
    """Pixels in doubt, inside and around each region.

    Around it are those that belong to the same region at the lower threshold; where that one holds several, they are
    shared in proportion to their pixels. Memory is that of the regions.

    Args:
        run: where strips are compared.

    Raises:
        SceneError: the scores cannot be read.
    """
    rules = regions.rules
    lower, upper = (float(expit(logit(rules.threshold) + step)) for step in (-BAND, BAND))
    wide = find_regions(
        regions.scores_path, RegionRules(lower, rules.threshold, rules.min_area_m2, rules.close_m), regions.gsd_m,
        rows=regions.rows, run=run,
    )  # fmt: skip
    around = {strip.rows.start: strip for strip in wide.strips}
    tasks = (_Both(strip, around[strip.rows.start], lowest_level(upper)) for strip in regions.strips)
    loses = np.zeros(len(regions))
    inside = np.zeros(len(regions), np.int64)  # of which wide region
    for done, found in enumerate(run(_compare, tasks), start=1):
        loses[found.regions - 1] += found.loses
        inside[found.regions - 1] = found.inside - 1
        progress("how sure the outlines are (strips)", done, len(regions.strips))
    together = np.bincount(inside, regions.pixels, minlength=len(wide))[inside]
    return Band(loses, (wide.pixels[inside] - together) * regions.pixels / together)


class _Both(NamedTuple):
    """A task: a strip's regions, those of the lower threshold, and the first byte that reaches the upper one."""

    own: RegionStrip
    wide: RegionStrip
    sure: int


class _Compared(NamedTuple):
    """Of each region of a strip: pixels in it that it would lose, and the wider region that it is part of."""

    regions: Ints
    loses: NDArray[np.int64]
    inside: Ints


def _compare(task: _Both) -> _Compared:
    few = task.own.few is not None and task.wide.few is not None
    strip = None if few else task.own.read()  # with rows enough around it for both, whose rules close the same gaps
    runs, wide = task.own.runs(strip), task.wide.runs(strip)
    regions, first, part = np.unique(runs.label, return_index=True, return_inverse=True)
    loses = np.zeros(len(regions), np.int64)
    for label, level in _levels(runs._replace(label=part.astype(np.int32)), task.own, strip):
        unsure = (level >= lowest_level(task.own.rules.threshold)) & (level < task.sure)
        loses += np.bincount(label[unsure], minlength=len(regions))
    # Where a region is, the wider one is: the run that begins last before it.
    at, of_wide = ((some.row.astype(np.int64) << 32) + some.start for some in (runs, wide))
    inside = wide.label[np.searchsorted(of_wide, at[first], side="right") - 1]
    return _Compared(regions, loses, inside)


def _levels(runs: Runs, of: RegionStrip, strip: Strip | None) -> Iterator[tuple[Ints, NDArray[np.uint8]]]:
    """Label and byte of each pixel of the runs; without the strip's scores, only blocks that have a run are read."""
    if strip is not None:
        yield values_along(runs, strip.values[strip.core], strip.row)
        return
    with open_dataset(str(of.scores_path)) as scores:
        for window, some in by_blocks(runs, of.rows, block_shape(of.scores_path), scores.width):
            yield values_along(some, read_window(scores, window), window.row, window.col)
