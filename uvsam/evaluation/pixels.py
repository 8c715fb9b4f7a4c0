"""How much of the village class is where it should be: by pixels of a grid, or by exact areas."""

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.objects import overlapping_pairs


def count_pixels(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Confusion:
    """Compare two masks where ``valid``.

    Args:
        predicted: (H, W) village or not.
        truth: (H, W) village or not.
        valid: (H, W) pixels that are looked at and whose truth is known.
    """
    both, ours, theirs = (
        int(np.count_nonzero(mask & valid)) for mask in (predicted & truth, predicted & ~truth, ~predicted & truth)
    )
    return Confusion(both, ours, theirs)


def count_areas(predicted: NDArray[np.object_], truth: NDArray[np.object_]) -> Confusion:
    """Compare two sets of polygons by area, without a grid; where polygons of one set overlap they count once.

    Args:
        predicted: (P,) polygons in an equal-area CRS in metres.
        truth: (T,) polygons in the same CRS.

    Returns:
        Areas in m2.
    """
    predicted, truth = dissolve(predicted), dissolve(truth)
    left, right = overlapping_pairs(predicted, truth)
    both = float(shapely.area(shapely.intersection(predicted[left], truth[right])).sum())
    only_predicted = float(shapely.area(predicted).sum()) - both
    only_truth = float(shapely.area(truth).sum()) - both
    return Confusion(both, max(only_predicted, 0.0), max(only_truth, 0.0))


def dissolve(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """The disjoint polygons that cover the same ground as ``polygons``."""
    parts: NDArray[np.object_] = shapely.get_parts(shapely.union_all(polygons))
    areal: NDArray[np.object_] = parts[shapely.get_dimensions(parts) == 2]
    return areal
