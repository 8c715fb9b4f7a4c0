"""What a label says about a pixel, as likelihoods.

Labels come at different depth: some name one of the classes, some say only "not a village", some are loose or miss
villages. Each kind of label is one row of a table: the probability of seeing this label on a pixel of each class. The
loss of a pixel is then -log(sum over classes of row * softmax), which is cross-entropy where the label names a class,
its marginal where it names several, and the forward correction of Patrini et al. (2017) where labels err. Row 0 is all
ones: no information.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvsam.training.config import IGNORED, Source

IGNORE = 0
"""Row of pixels without a label."""


@dataclass(frozen=True)
class TargetTable:
    """The rows of all sources.

    Attributes:
        likelihood: (rows, classes) float32 in 0..1.
        village: (rows,) float32; 1 where the label says village, 0 where not, NaN where it does not say.
        lookup: for each source a (256,) uint8 table from label value to row.
    """

    likelihood: NDArray[np.float32]
    village: NDArray[np.float32]
    lookup: tuple[NDArray[np.uint8], ...]


def target_table(sources: Sequence[Source], classes: Sequence[str]) -> TargetTable:
    """Build the table for these sources; the village class is the last of ``classes``."""
    count = len(classes)
    rows, village, lookups = [np.ones(count)], [np.nan], []
    for source in sources:
        lookup = np.full(256, IGNORE, np.uint8)
        for value, meaning in source.values.items():
            if meaning == IGNORED:
                continue
            row = np.zeros(count)
            if meaning == "other":
                row[:-1] = 1 - source.loose_share
                row[-1] = source.missed_share
            else:
                row[list(classes).index(meaning)] = 1
                if meaning == "village":
                    row[:-1], row[-1] = source.loose_share, 1 - source.missed_share
            lookup[value] = len(rows)
            rows.append(row)
            village.append(float(meaning == "village"))
        lookups.append(lookup)
    return TargetTable(np.asarray(rows, np.float32), np.asarray(village, np.float32), tuple(lookups))
