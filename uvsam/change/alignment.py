"""How far the image of one period lies beside that of another."""

import math
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.lineage import NONE, pair_off
from uvsam.change.overlay import Polygons, shared_ground

ROUNDS = 3
LEAST_PAIRS = 5
ENOUGH = 3000
LEAST_IOU = 0.3
LARGEST_CHANGE = 0.1
MAD_TO_SIGMA = 1.4826
MEDIAN_TO_MEAN = 1.2533
"""A median of normal values scatters so much more than their mean."""
CERTAIN = 2.45
"""Standard errors within which 95 % of all shifts lie where there is none: a Rayleigh distribution's quantile."""
NEGLIGIBLE_M = 0.02
THE_LAYER_BEFORE = "the layer before"


@dataclass(frozen=True)
class Shift:
    """Where the later layer lies beside the earlier one, in metres; taken off, it fits.

    Attributes:
        east_m, north_m: the shift; 0 where there is too little to tell.
        error_m: standard error of each; NaN where there is too little to tell.
        count: how many it was told from ...
        told_from: ... and of what; :data:`THE_LAYER_BEFORE` where there was too little, so that it is that one's shift.
    """

    east_m: float = 0.0
    north_m: float = 0.0
    error_m: float = float("nan")
    count: int = 0
    told_from: str = "villages"

    @property
    def is_known(self) -> bool:
        return self.count >= LEAST_PAIRS

    @property
    def is_nothing(self) -> bool:
        """Whether it cannot be told from no shift, or is too small to matter in any image."""
        return math.hypot(self.east_m, self.north_m) <= max(CERTAIN * self.error_m, NEGLIGIBLE_M)

    def then(self, found: "Shift") -> "Shift":
        """The shift from the first layer, of one that was ``found`` beside a layer with this shift and its error."""
        whole = replace(
            found, east_m=found.east_m + self.east_m, north_m=found.north_m + self.north_m,
            error_m=math.hypot(found.error_m, np.nan_to_num(self.error_m)),
        )  # fmt: skip
        return replace(whole, east_m=0.0, north_m=0.0) if whole.is_nothing else whole

    def carried(self) -> "Shift":
        """The same shift, of the next layer, which has too little to tell its own."""
        return replace(self, count=0, told_from=THE_LAYER_BEFORE)

    def take_off(self, polygons: Polygons) -> Polygons:
        """Polygons of the later layer where they lie on the earlier one."""
        if not (self.east_m or self.north_m):
            return polygons
        by = np.array([self.east_m, self.north_m])
        found: Polygons = shapely.transform(polygons, lambda xy: xy - by)
        return found


NO_SHIFT = Shift()


def estimate_shift(before: Polygons, after: Polygons) -> Shift:
    """The median way of the centroids of villages that are there in both layers and have kept their size.

    A village that grew on one side moves its centroid, so only those count whose area changed by less than a tenth;
    what they did on their own scatters, and what the image did is common to all. Shifts up to about a third of the size
    of the villages are found.

    Args:
        before, after: polygons on one map in metres; those of one layer do not overlap each other. Of many before,
            some are asked.
    """
    if len(before) > ENOUGH:
        before = before[np.random.default_rng(0).choice(len(before), ENOUGH, replace=False)]
    if len(before):  # a village further away than another is large cannot be the same
        reach_m = float(np.sqrt(shapely.area(before)).max())
        after = after[np.unique(shapely.STRtree(after).query(before, predicate="dwithin", distance=reach_m)[1])]
    shift = Shift()
    for _ in range(ROUNDS):
        ways = _ways(before, shift.take_off(after))
        if len(ways) < LEAST_PAIRS:
            return Shift()
        step = np.median(ways, axis=0)
        scatter = MAD_TO_SIGMA * np.median(np.abs(ways - step))
        error = MEDIAN_TO_MEAN * scatter / np.sqrt(len(ways))
        shift = Shift(shift.east_m + float(step[0]), shift.north_m + float(step[1]), float(error), len(ways))
    return shift


def _ways(before: Polygons, after: Polygons) -> NDArray[np.float64]:
    """(N, 2) from the centroid before to that after, of villages that are the same."""
    links = shared_ground(before, after)
    continues = pair_off(links, len(before), len(after))
    same = np.flatnonzero(continues != NONE)
    own, other = before[continues[same]], after[same]
    areas = shapely.area(own), shapely.area(other)
    pair = np.full(len(after), -1, np.intp)
    number = np.flatnonzero(continues[links.after] == links.before)
    pair[links.after[number]] = number
    shared = links.area_m2[pair[same]]
    alike = (shared >= LEAST_IOU * (areas[0] + areas[1] - shared)) & (
        np.abs(areas[1] - areas[0]) <= LARGEST_CHANGE * areas[0]
    )
    ways: NDArray[np.float64] = (
        shapely.get_coordinates(shapely.centroid(other[alike])) - shapely.get_coordinates(shapely.centroid(own[alike]))
    )  # fmt: skip
    return ways
