"""Which predicted objects are which true objects."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uvsam.evaluation.confusion import Confusion


class Pairs(NamedTuple):
    """Pairs of objects that share area: indices into both sets and their IoU, each of length N."""

    predicted: NDArray[np.intp]
    truth: NDArray[np.intp]
    iou: NDArray[np.float64]

    def take(self, which: NDArray[np.intp]) -> "Pairs":
        """The pairs at the positions ``which``."""
        return Pairs(self.predicted[which], self.truth[which], self.iou[which])


def overlapping_pairs(
    left: NDArray[np.object_], right: NDArray[np.object_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (N,), (N,) of the pairs of geometries that touch or overlap."""
    pairs = shapely.STRtree(right).query(left, predicate="intersects")
    return pairs[0], pairs[1]


def pair_ious(predicted: NDArray[np.object_], truth: NDArray[np.object_]) -> Pairs:
    """IoU of all pairs of polygons that share area.

    Law: ``pair_ious(a, b)`` is ``pair_ious(b, a)`` with the sides exchanged.
    """
    left, right = overlapping_pairs(predicted, truth)
    shared = shapely.area(shapely.intersection(predicted[left], truth[right]))
    union = shapely.area(predicted[left]) + shapely.area(truth[right]) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    keep = iou > 0
    return Pairs(left[keep], right[keep], np.minimum(iou[keep], 1.0))


def match_optimally(pairs: Pairs, min_iou: float = 0.5) -> Pairs:
    """The one-to-one matching with the most pairs of IoU >= ``min_iou``; among those, the largest sum of IoU.

    The assignment problem is solved for each connected group of candidate pairs on its own, so that its cost matrices
    stay small. Where the objects of each side do not overlap each other, at most one pair per object exceeds 0.5 and
    the matching is unique.
    """
    pairs = pairs.take(np.flatnonzero(pairs.iou >= min_iou))
    if len(pairs.iou) == 0:
        return pairs
    predicted, rows = np.unique(pairs.predicted, return_inverse=True)
    truth, columns = np.unique(pairs.truth, return_inverse=True)
    size = len(predicted) + len(truth)
    graph = coo_array((np.ones(len(rows)), (rows, len(predicted) + columns)), shape=(size, size))
    group_of_pair = connected_components(graph, directed=False)[1][rows]
    by_group = np.argsort(group_of_pair, kind="stable")
    starts = np.flatnonzero(np.diff(group_of_pair[by_group])) + 1
    chosen = [_assign(members, rows, columns, pairs.iou) for members in np.split(by_group, starts)]
    return pairs.take(np.sort(np.concatenate(chosen)))


def _assign(
    members: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp], iou: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Indices of the chosen pairs among ``members``, the pairs of one connected group."""
    own_rows, row = np.unique(rows[members], return_inverse=True)
    own_columns, column = np.unique(columns[members], return_inverse=True)
    if len(members) == 1:
        return members
    # One more pair is worth more than any gain in IoU: all IoUs together weigh less than 1.
    weight = np.zeros((len(own_rows), len(own_columns)))
    weight[row, column] = 1 + iou[members] / (min(weight.shape) + 1)
    pair_at = np.full(weight.shape, -1, dtype=np.intp)
    pair_at[row, column] = members
    found = pair_at[linear_sum_assignment(weight, maximize=True)]
    chosen: NDArray[np.intp] = found[found >= 0]
    return chosen


def match_as_paper(pairs: Pairs) -> Pairs:
    """The rule of the UV-SAM paper's evaluation: any overlap counts.

    Each predicted object, in order, takes the true object with the highest IoU among those not yet taken.
    """
    order = np.lexsort((pairs.truth, -pairs.iou, pairs.predicted))
    served: set[int] = set()
    taken: set[int] = set()
    chosen = []
    for index in order:
        left, right = int(pairs.predicted[index]), int(pairs.truth[index])
        if left not in served and right not in taken:
            served.add(left)
            taken.add(right)
            chosen.append(index)
    return pairs.take(np.array(chosen, dtype=np.intp))


def confusion_of(matches: Pairs, predicted: int, truth: int) -> Confusion:
    """Objects right, wrong and missed, given the matches and how many objects there are on each side."""
    matched = len(matches.iou)
    return Confusion(matched, predicted - matched, truth - matched)


def fill_holes(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Each polygon without its holes; a multipolygon stays one object."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    outer = shapely.polygons(shapely.get_exterior_ring(parts))
    filled = np.empty(len(polygons), dtype=object)
    filled[owner] = outer  # right for the objects of one part; the others follow
    for index in np.unique(owner[1:][owner[1:] == owner[:-1]]):
        filled[index] = shapely.union_all(outer[slice(*np.searchsorted(owner, [index, index + 1]))])
    return filled
