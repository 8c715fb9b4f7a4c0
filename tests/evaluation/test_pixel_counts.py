"""Pixel and area counts against counting by hand."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from uvsam.evaluation.areas import area_bias
from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.pixels import count_areas, count_pixels

SIDE = 12
masks = hnp.arrays(np.bool_, (SIDE, SIDE))
boxes = st.lists(
    st.tuples(*[st.integers(0, SIDE - 1)] * 4).map(
        lambda b: shapely.box(min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
    ),
    max_size=5,
).map(lambda found: np.array(found, dtype=object))


def as_mask(polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Unit cells whose centre is in any polygon, one by one."""
    centre = np.arange(SIDE) + 0.5
    x, y = np.meshgrid(centre, centre)
    return np.logical_or.reduce([np.zeros((SIDE, SIDE), bool), *(shapely.contains_xy(p, x, y) for p in polygons)])


def table_of(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Confusion:
    table = np.histogram2d(
        predicted.ravel().astype(int), truth.ravel().astype(int), bins=(2, 2), range=((0, 1), (0, 1))
    )
    (_, fn), (fp, tp) = table[0]
    return Confusion(tp, fp, fn)


@given(masks, masks, masks)
def test_counts_are_those_of_a_contingency_table(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> None:
    assert count_pixels(predicted, truth, valid) == table_of(predicted[valid], truth[valid])


@given(masks, masks, masks, st.integers(0, SIDE))
def test_counts_of_the_parts_add_up(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_], cut: int
) -> None:
    upper, lower = (count_pixels(predicted[s], truth[s], valid[s]) for s in (slice(cut), slice(cut, None)))
    assert upper + lower == count_pixels(predicted, truth, valid)


@given(boxes, boxes)
def test_areas_are_counted_as_on_a_grid_even_where_polygons_overlap(
    predicted: NDArray[np.object_], truth: NDArray[np.object_]
) -> None:
    counts = count_areas(predicted, truth)
    expected = table_of(as_mask(predicted), as_mask(truth))
    np.testing.assert_allclose([counts.tp, counts.fp, counts.fn], [expected.tp, expected.fp, expected.fn], atol=1e-9)


@given(masks, masks)
def test_ratios_follow_their_definitions(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    counts = count_pixels(predicted, truth, np.ones_like(truth))
    both, either = (predicted & truth).sum(), (predicted | truth).sum()
    assert counts.iou == (both / either if either else None)
    assert counts.precision == (both / predicted.sum() if predicted.any() else None)
    assert counts.recall == (both / truth.sum() if truth.any() else None)
    if counts.iou is not None:
        assert counts.f1 is not None
        assert np.isclose(counts.f1, 2 * counts.iou / (1 + counts.iou))


def test_ratios_of_nothing_are_undefined_and_of_one_empty_side_are_zero() -> None:
    nothing = Confusion()
    assert (nothing.iou, nothing.precision, nothing.recall, nothing.f1) == (None, None, None, None)
    missed = Confusion(fn=3)
    assert (missed.iou, missed.precision, missed.recall, missed.f1) == (0, None, 0, 0)


def test_area_bias() -> None:
    bias = area_bias(Confusion(tp=80, fp=40, fn=20))
    assert (bias.predicted_m2, bias.truth_m2) == (120, 100)
    assert bias.bias is not None
    assert np.isclose(bias.bias, 0.2)
    assert area_bias(Confusion(fp=5)).bias is None
