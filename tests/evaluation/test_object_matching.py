"""Matching of objects against exhaustive search and against the definitions."""

from itertools import permutations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from uvsam.evaluation.objects import Pairs, confusion_of, fill_holes, match_as_paper, match_optimally, pair_ious

ious = st.integers(0, 20).map(lambda twentieth: twentieth / 20)


@st.composite
def tables(draw: st.DrawFn) -> NDArray[np.float64]:
    """IoU of every pair, up to 5 x 5 objects."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return np.array(draw(st.lists(st.lists(ious, min_size=columns, max_size=columns), min_size=rows, max_size=rows)))


def pairs_of(table: NDArray[np.float64]) -> Pairs:
    rows, columns = np.nonzero(table)
    return Pairs(rows, columns, table[rows, columns])


@st.composite
def cities(draw: st.DrawFn) -> NDArray[np.object_]:
    """Disjoint polygons: some cells of a jittered grid."""
    cells = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, min_size=1))
    made = []
    for col, row in cells:
        left, low = draw(st.floats(0, 4)), draw(st.floats(0, 4))
        made.append(shapely.box(10 * col + left, 10 * row + low, 10 * col + 10 - low, 10 * row + 10 - left))
    return np.array(made, dtype=object)


def best_by_search(table: NDArray[np.float64], min_iou: float) -> tuple[int, float]:
    """The most pairs, then the largest sum of IoU, over all one-to-one assignments."""
    table = table if table.shape[0] <= table.shape[1] else table.T
    allowed = np.where(table >= min_iou, table, 0)
    chosen = (allowed[range(len(table)), list(order)] for order in permutations(range(table.shape[1]), len(table)))
    return max((int((row > 0).sum()), float(row.sum())) for row in chosen)


@given(tables(), st.sampled_from([0.05, 0.3, 0.5]))
def test_matching_is_the_best_of_all(table: NDArray[np.float64], min_iou: float) -> None:
    matches = match_optimally(pairs_of(table), min_iou)
    assert len(set(matches.predicted)) == len(set(matches.truth)) == len(matches.iou)
    assert (matches.iou >= min_iou).all()
    assert (matches.iou == table[matches.predicted, matches.truth]).all()
    number, total = best_by_search(table, min_iou)
    assert len(matches.iou) == number
    assert np.isclose(matches.iou.sum(), total)


@given(tables())
def test_the_papers_rule_is_its_loop(table: NDArray[np.float64]) -> None:
    left = table.copy()
    expected = []
    for row in range(len(left)):
        column = int(left[row].argmax())
        if left[row, column] > 0:
            expected.append((row, column))
            left[:, column] = 0
    matches = match_as_paper(pairs_of(table))
    assert list(zip(matches.predicted, matches.truth, strict=True)) == expected


@given(cities(), cities())
def test_iou_is_symmetric_and_that_of_its_definition(ours: NDArray[np.object_], theirs: NDArray[np.object_]) -> None:
    there, back = pair_ious(ours, theirs), pair_ious(theirs, ours)
    found = dict(zip(zip(there.predicted, there.truth, strict=True), there.iou, strict=True))
    assert found == dict(zip(zip(back.truth, back.predicted, strict=True), back.iou, strict=True))
    for left, mine in enumerate(ours):
        for right, true in enumerate(theirs):
            expected = mine.intersection(true).area / mine.union(true).area
            assert np.isclose(found.get((left, right), 0), expected, atol=1e-12)


@given(cities(), cities())
def test_between_disjoint_objects_every_pair_above_half_is_matched(
    ours: NDArray[np.object_], theirs: NDArray[np.object_]
) -> None:
    pairs = pair_ious(ours, theirs)
    matches = match_optimally(pairs, 0.5)
    assert set(np.flatnonzero(pairs.iou > 0.5 + 1e-9)) <= {
        int(np.flatnonzero((pairs.predicted == p) & (pairs.truth == t))[0])
        for p, t in zip(matches.predicted, matches.truth, strict=True)
    }


@given(cities())
def test_a_city_matches_itself(city: NDArray[np.object_]) -> None:
    pairs = pair_ious(city, city)
    for matches in (match_optimally(pairs), match_as_paper(pairs)):
        counts = confusion_of(matches, len(city), len(city))
        assert (counts.precision, counts.recall, counts.f1) == (1, 1, 1)
        assert (matches.predicted == matches.truth).all()


def test_one_large_group_of_overlapping_objects_is_solved() -> None:
    ours = np.array([shapely.box(k, 0, k + 3, 1) for k in range(200)], dtype=object)
    matches = match_optimally(pair_ious(ours, ours[::-1]), 0.4)
    assert len(matches.iou) == 200
    assert (matches.iou == 1).all()


def test_a_village_in_the_courtyard_of_another_overlaps_it_by_the_papers_rule_only() -> None:
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(3, 3, 7, 7))
    ours, theirs = np.array([shapely.box(4, 4, 6, 6)], dtype=object), np.array([ring], dtype=object)
    assert len(pair_ious(ours, theirs).iou) == 0
    assert len(match_as_paper(pair_ious(fill_holes(ours), fill_holes(theirs))).iou) == 1


def test_holes_are_filled_in_every_part_and_the_objects_keep_their_order() -> None:
    ring = shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 2, 2))
    objects = np.array([shapely.box(9, 9, 10, 10), shapely.MultiPolygon([ring, shapely.box(6, 0, 7, 1)]), ring])
    assert list(shapely.area(fill_holes(objects))) == [1, 17, 16]


def test_nothing_matches_nothing() -> None:
    nothing = np.empty(0, dtype=object)
    for ours, theirs in ((nothing, nothing), (nothing, np.array([shapely.box(0, 0, 1, 1)]))):
        pairs = pair_ious(ours, theirs)
        assert len(match_optimally(pairs).iou) == len(match_as_paper(pairs).iou) == 0
        assert len(fill_holes(ours)) == 0
