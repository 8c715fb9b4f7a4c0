"""Boundary scores where they can be worked out by hand."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from uvsam.evaluation.boundaries import compare_boundaries, sample_lines
from uvsam.evaluation.region import Region

EVERYWHERE = Region()


def one(geometry: object) -> np.ndarray:
    return np.array([geometry], dtype=object)


@given(st.floats(10, 500), st.floats(10, 500), st.floats(0.05, 0.95))
def test_a_shape_agrees_with_itself(width: float, height: float, corner: float) -> None:
    shape = shapely.box(0, 0, width, height).difference(shapely.box(0, 0, width * corner, height * corner))
    for score in compare_boundaries(one(shape), one(shape), EVERYWHERE):
        assert (score.precision, score.recall, score.f1) == (1, 1, 1)


@pytest.mark.parametrize(("shift", "within_2", "within_5"), [(1.5, 1, 1), (3, 0.5, 1), (8, 0.5, 0.5)])
def test_a_shifted_square_keeps_two_sides(shift: float, within_2: float, within_5: float) -> None:
    square = shapely.box(0, 0, 1000, 1000)
    moved = shapely.box(shift, 0, 1000 + shift, 1000)
    at_2, at_5 = compare_boundaries(one(moved), one(square), EVERYWHERE)
    assert (at_2.tolerance_m, at_5.tolerance_m) == (2, 5)
    for score, expected in ((at_2, within_2), (at_5, within_5)):
        assert score.precision == pytest.approx(expected, abs=0.005)
        assert score.recall == pytest.approx(expected, abs=0.005)
        assert score.f1 == pytest.approx(expected, abs=0.005)


def test_precision_and_recall_are_not_confused() -> None:
    truth = shapely.box(0, 0, 100, 100)
    both = np.array([truth, shapely.box(1000, 0, 1100, 100)], dtype=object)
    score = compare_boundaries(both, one(truth), EVERYWHERE)[0]
    assert (score.precision, score.recall) == (pytest.approx(0.5), 1)
    score = compare_boundaries(one(truth), both, EVERYWHERE)[0]
    assert (score.precision, score.recall) == (1, pytest.approx(0.5))


def test_the_end_of_the_image_is_no_outline() -> None:
    image = shapely.box(0, 0, 1000, 1000)
    truth = one(shapely.box(-500, 200, 400, 800))
    predicted = one(shapely.box(-500, 200, 420, 800))
    region = Region(image)
    at_2, at_5 = compare_boundaries(region.clip(predicted), region.clip(truth), region)
    sides = 2 * 400
    assert at_2.recall == pytest.approx((sides - 4) / (sides - 4 + 600), abs=0.01)
    assert at_5.recall == pytest.approx((sides - 10) / (sides - 10 + 600), abs=0.01)
    blind = Region(image, one(shapely.box(350, 0, 1000, 1000)))
    for score in compare_boundaries(blind.clip(predicted), blind.clip(truth), blind):
        assert (score.precision, score.recall) == (1, 1)


def test_without_outlines_the_score_is_undefined_and_with_one_side_only_it_is_zero() -> None:
    nothing = np.empty(0, dtype=object)
    assert compare_boundaries(nothing, nothing, EVERYWHERE)[0].f1 is None
    score = compare_boundaries(nothing, one(shapely.box(0, 0, 50, 50)), EVERYWHERE)[0]
    assert (score.precision, score.recall, score.f1) == (None, 0, 0)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=6, unique=True))
def test_pieces_add_up_to_the_length(points: list[tuple[float, float]]) -> None:
    line = shapely.LineString(points)
    midpoint, length = sample_lines(np.array([line, shapely.LineString([(0, 0), (1, 0)])], dtype=object), 0.7)
    assert length.sum() == pytest.approx(line.length + 1)
    assert length.max() <= 0.7 + 1e-9
    assert len(midpoint) == len(length)
