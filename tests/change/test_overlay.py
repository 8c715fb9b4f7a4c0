"""Two layers of villages compared: areas balance, jitter is forgiven, and nothing else is."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.change.overlay import SLIVER_M2, Comparison, Polygons, compare, without_overlaps


def layer(*polygons: shapely.Geometry) -> Polygons:
    return np.array(polygons, dtype=object)


def box(x: float, y: float, width: float = 100, height: float = 100) -> shapely.Polygon:
    return shapely.box(x, y, x + width, y + height)


@st.composite
def layers(draw: st.DrawFn) -> Polygons:
    """Blobs in the cells of a grid, so that none overlaps another; some touch."""
    cells = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=7, unique=True))
    size = st.floats(10, 100)
    return layer(*(box(100 * x, 100 * y, draw(size), draw(size)) for x, y in cells))


def balance(own: Polygons, kept: np.ndarray, beyond: Polygons) -> np.ndarray:
    return shapely.area(own) - kept - shapely.area(beyond)


@settings(max_examples=150, deadline=None)
@given(layers(), layers(), st.just(0.0) | st.floats(0.1, 10), st.floats(0, 200))
def test_areas_balance_and_only_borders_are_forgiven(
    before: Polygons, after: Polygons, tolerance_m: float, least_m2: float
) -> None:
    found = compare(before, after, tolerance_m=tolerance_m, min_change_m2=least_m2)
    for own, other, linked, beyond in (
        (before, after, found.links.before, found.lost),
        (after, before, found.links.after, found.gained),
    ):
        kept = np.bincount(linked, found.links.area_m2, minlength=len(own))
        border = balance(own, kept, beyond)
        assert (border >= -1e-6).all()
        assert shapely.area(shapely.intersection(shapely.union_all(beyond), shapely.union_all(other))) < 1e-6
        pieces = shapely.get_parts(beyond)
        assert (shapely.area(pieces) >= least_m2 - 1e-6).all()
        if tolerance_m == 0 and least_m2 == 0:
            assert border == pytest.approx(0, abs=1e-4)
        # what is forgiven lies within the tolerance, or in a piece that is too small
        forgiven = shapely.difference(shapely.difference(shapely.union_all(own), shapely.union_all(other)),
                                      shapely.union_all(beyond))  # fmt: skip
        far = shapely.get_parts(
            shapely.difference(forgiven, shapely.buffer(shapely.union_all(other), 1.05 * tolerance_m))
        )
        assert (shapely.area(far) <= least_m2 + 1e-6).all()
    total = [shapely.area(shapely.union_all(one)) for one in (before, after)]
    shared = found.links.area_m2.sum()
    expected = sum(
        min(one.area, other.area) if one.hausdorff_distance(other) <= tolerance_m else one.intersection(other).area
        for one in before
        for other in after
    )
    assert shared == pytest.approx(expected)
    assert max(total) >= shared - 1e-6


@settings(max_examples=50, deadline=None)
@given(layers(), layers())
def test_time_can_be_turned_round(before: Polygons, after: Polygons) -> None:
    there, back = (compare(*pair, tolerance_m=3) for pair in ((before, after), (after, before)))
    assert shapely.area(there.lost) == pytest.approx(shapely.area(back.gained))
    assert shapely.area(there.gained) == pytest.approx(shapely.area(back.lost))


def changed(found: Comparison) -> tuple[list[float], list[float]]:
    return shapely.area(found.lost).round().tolist(), shapely.area(found.gained).round().tolist()


def test_by_hand() -> None:
    village = layer(box(0, 0))
    assert changed(compare(village, layer(box(3, 0)), tolerance_m=3)) == ([0], [0])  # moved by 3 m
    assert changed(compare(village, layer(box(4, 0)), tolerance_m=3)) == ([400], [400])
    assert changed(compare(village, layer(), tolerance_m=3)) == ([10_000], [])
    assert changed(compare(layer(), village, tolerance_m=3)) == ([], [10_000])
    assert changed(compare(village, layer(box(0, 0, 130)), tolerance_m=3)) == ([0], [3000])  # the rim counts in full
    # a sliver of 2 m around, and a wing of 20 x 30 on one side: of the sliver, only what is beside the wing
    grown = shapely.union(shapely.box(-2, -2, 102, 102), shapely.box(100, 40, 122, 70))
    lost, gained = changed(compare(village, layer(grown), tolerance_m=3))
    assert lost == [0]
    assert 22 * 30 <= gained[0] <= 22 * 30 + 2 * 2 * 4
    halves = layer(box(0, 0, 47), box(53, 0, 47))  # a road of 6 m is jitter from both sides, one of 8 m is not
    assert changed(compare(village, halves, tolerance_m=3))[0] == [0]
    assert changed(compare(village, layer(box(0, 0, 46), box(54, 0, 46)), tolerance_m=3))[0] == [800]


def test_small_pieces_are_jitter() -> None:
    grown = layer(shapely.union(box(0, 0), shapely.box(100, 0, 110, 10)))
    assert changed(compare(layer(box(0, 0)), grown, tolerance_m=3, min_change_m2=101))[1] == [0]
    assert changed(compare(layer(box(0, 0)), grown, tolerance_m=3, min_change_m2=99))[1] == [100]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(2, 8), st.integers(2, 8)), max_size=8))
def test_what_overlaps_is_counted_once(corners: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([shapely.box(x, y, x + w, y + h) for x, y, w, h in corners], object)
    found = without_overlaps(boxes)
    whole = shapely.area(shapely.union_all(boxes)) if len(boxes) else 0.0
    assert shapely.area(found.polygons).sum() == pytest.approx(whole, abs=len(boxes) ** 2 * SLIVER_M2)
    assert shapely.area(boxes).sum() - whole == pytest.approx(found.overlap.area_m2, abs=len(boxes) ** 2 * SLIVER_M2)
    assert found.overlap.inside == shapely.is_empty(found.polygons).sum()
    half = len(boxes) // 2
    parts = without_overlaps(boxes[:half]), without_overlaps(boxes[half:], boxes[:half])
    assert sum(shapely.area(part.polygons).sum() for part in parts) == pytest.approx(
        shapely.area(found.polygons).sum(), abs=len(boxes) ** 2 * SLIVER_M2
    )
