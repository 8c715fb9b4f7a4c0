"""How much larger or smaller regions would be at a lower or a higher threshold."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from uvsam.engine.executors import Run, here
from uvsam.mosaic.regions import RegionRules, Regions, find_regions, region_strips
from uvsam.mosaic.scores import lowest_level, read_strips
from uvsam.progress import Progress, silent

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
        run: where the wider regions are found.

    Raises:
        SceneError: the scores cannot be read.
    """
    rules, count = regions.rules, len(regions) + 1
    lower, upper = (float(expit(logit(rules.threshold) + step)) for step in (-BAND, BAND))
    wide = find_regions(
        regions.scores_path, RegionRules(lower, rules.threshold, rules.min_area_m2, rules.close_m), regions.gsd_m,
        rows=regions.rows, run=run,
    )  # fmt: skip
    sure = lowest_level(upper)
    loses, doubt = np.zeros(count), np.zeros(len(wide) + 1)
    inside = np.zeros(count, np.int64)  # of which wide region
    own = region_strips(regions)
    row, labels = next(own, (-1, np.zeros((0, 0), np.int32)))
    strips = read_strips(regions.scores_path, rows=regions.rows)
    for done, (top, around) in enumerate(region_strips(wide), start=1):
        strip = next(strip for strip in strips if strip.row == top)
        scores = strip.values[strip.core]
        outside = around > 0
        if row == top:
            here = labels > 0
            inside[labels[here]] = around[here]
            unsure = here & (scores < sure) & (scores >= lowest_level(rules.threshold))
            loses += np.bincount(labels[unsure], minlength=count)
            outside &= ~here
            row, labels = next(own, (-1, labels))
        doubt += np.bincount(around[outside], minlength=len(doubt))
        progress("how sure the outlines are (strips)", done, len(wide.strips))
    pixels = np.concatenate([[0], regions.pixels])
    together = np.bincount(inside, pixels, minlength=len(doubt))
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = doubt[inside] * pixels / together[inside]
    return Band(loses[1:], gains[1:])
