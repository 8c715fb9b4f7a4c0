"""How close the outlines are to the true outlines, in metres."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from uvsam.evaluation.confusion import f_score, ratio
from uvsam.evaluation.region import Region

STEPS_PER_TOLERANCE = 10


@dataclass(frozen=True)
class BoundaryScore:
    """Share of the predicted outline within ``tolerance_m`` of the true one, and the reverse."""

    tolerance_m: float
    precision: float | None
    recall: float | None

    @property
    def f1(self) -> float | None:
        return f_score(self.precision, self.recall)

    def as_dict(self) -> dict[str, float | None]:
        return {
            "tolerance_m": self.tolerance_m, "precision": self.precision, "recall": self.recall, "f1": self.f1,
        }  # fmt: skip


def compare_boundaries(
    predicted: NDArray[np.object_], truth: NDArray[np.object_], region: Region, tolerances_m: Sequence[float] = (2, 5)
) -> list[BoundaryScore]:
    """Boundary precision, recall and F by length.

    The outlines are sampled every tenth of the smallest tolerance, which moves a distance by less than 0.2 % of it. An
    outline nearer than the tolerance to the border of ``region`` is not judged: it may be no outline but the
    end of the image, and what it should be compared with may lie outside.

    Args:
        predicted: (P,) polygons in metres, inside ``region``; polygons that share an edge must be dissolved.
        truth: (T,) likewise.
        region: where both sides are known.
        tolerances_m: distances that still count as right.
    """
    step_m = min(tolerances_m) / STEPS_PER_TOLERANCE
    ours, our_length = sample_lines(shapely.boundary(predicted), step_m)
    theirs, their_length = sample_lines(shapely.boundary(truth), step_m)
    border, _ = sample_lines(region.border(), step_m)
    far = max(tolerances_m)
    to_truth, to_ours = distances(ours, theirs, far), distances(theirs, ours, far)
    ours_to_border, theirs_to_border = distances(ours, border, far), distances(theirs, border, far)
    return [
        BoundaryScore(
            float(tolerance),
            _share_within(to_truth, our_length, ours_to_border, tolerance),
            _share_within(to_ours, their_length, theirs_to_border, tolerance),
        )
        for tolerance in tolerances_m
    ]


def _share_within(
    distance: NDArray[np.float64], length: NDArray[np.float64], to_border: NDArray[np.float64], tolerance: float
) -> float | None:
    judged = to_border > tolerance
    return ratio(float(length[judged & (distance <= tolerance)].sum()), float(length[judged].sum()))


def sample_lines(lines: NDArray[np.object_], step_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut lines into pieces of at most ``step_m``.

    Returns:
        (N, 2) midpoints of the pieces and their (N,) lengths, which sum to the length of the lines.
    """
    parts = shapely.get_parts(lines)
    xy, line = shapely.get_coordinates(shapely.segmentize(parts, step_m), return_index=True)
    joined = line[1:] == line[:-1]
    start, stop = xy[:-1][joined], xy[1:][joined]
    length: NDArray[np.float64] = np.hypot(*(stop - start).T)
    midpoint: NDArray[np.float64] = (start + stop) / 2
    return midpoint, length


def distances(points: NDArray[np.float64], targets: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    """(N,) distance of each of ``points`` (N, 2) to the nearest of ``targets`` (M, 2); inf beyond ``far``."""
    if len(points) == 0 or len(targets) == 0:
        return np.full(len(points), np.inf)
    found: NDArray[np.float64] = KDTree(targets).query(points, distance_upper_bound=far * (1 + 1e-9))[0]
    return found
