import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from uvsam.vectors.holes import fill_holes
from uvsam.vectors.polygonize import polygonize_mask
from uvsam.vectors.simplify import keep_apart, overlapping_pairs, simplify


def fabric(seed, sigma, size=60):
    """Ragged neighbours, often a pixel or only a corner apart."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((size, size)), sigma)
    return polygonize_mask(noise > np.median(noise))


fabrics = st.builds(fabric, st.integers(0, 10_000), st.floats(0.5, 3))


@settings(max_examples=100, deadline=None)
@given(fabrics, st.floats(0.1, 12), st.sampled_from([(1, 1), (0.5, 0.8)]))
@example(fabric(10_000, 0.5), 3.0, (0.5, 0.8))
def test_simplified_polygons_are_valid_and_apart(polygons, tolerance, gsd_m):
    ground = shapely.transform(polygons, lambda xy: xy * gsd_m)
    simple = simplify(ground, tolerance)
    assert shapely.is_valid(simple).all()
    assert (shapely.get_type_id(simple) == shapely.GeometryType.POLYGON).all()
    assert (shapely.area(simple) > 0).all()
    assert not len(overlapping_pairs(simple))
    assert shapely.union_all(simple).area == pytest.approx(shapely.area(simple).sum())


def test_a_staircase_becomes_a_line_and_nothing_moves_far():
    mask = np.tri(100, dtype=bool)
    (polygon,) = polygonize_mask(mask)
    (simple,) = simplify(np.array([polygon], object), 1.5)
    assert shapely.get_num_coordinates(simple) <= 8
    assert shapely.hausdorff_distance(polygon, simple) <= 1.5
    assert simple.area == pytest.approx(polygon.area, rel=0.02)


def test_close_neighbours_keep_their_shared_corners():
    left = shapely.Polygon([(0, 0), (5, 0), (5, 5), (5.4, 6), (5, 7), (5, 10), (0, 10)])
    right = shapely.Polygon([(10, 0), (5, 0), (5, 5), (5.4, 6), (5, 7), (5, 10), (10, 10)])
    simple = simplify(np.array([left, right], object), 1.0)
    assert shapely.intersection(*simple).length == pytest.approx(10)
    assert not len(overlapping_pairs(simple))


def test_a_bad_simplification_is_taken_back_with_all_that_it_pushes():
    squares = np.array([shapely.box(x, 0, x + 10, 10) for x in (0, 12, 24, 40, 60)], object)
    wider = np.array([shapely.box(-1, 0, 11, 10), shapely.box(9, 0, 25, 10), shapely.box(22.5, 0, 35, 10)], object)
    bow_tie = shapely.Polygon([(40, 0), (50, 10), (50, 0), (40, 10)])
    simple = np.array([*wider, bow_tie, shapely.box(61, 0, 70, 10)], object)
    result = keep_apart(simple, squares)
    assert [a is b for a, b in zip(result, squares, strict=True)] == [True, True, True, True, False]

    # Back in place, the second square meets its neighbour only now.
    originals = np.array([shapely.box(0, 0, 10, 10), shapely.box(10, 0, 30, 10), shapely.box(30, 0, 40, 10)], object)
    moved = np.array([shapely.box(0, 0, 13, 10), shapely.box(12, 0, 20, 10), shapely.box(25, 0, 40, 10)], object)
    assert (keep_apart(moved, originals) == originals).all()


def test_no_tolerance_changes_nothing():
    polygons = fabric(1, 1.0)
    assert simplify(polygons, 0) is polygons
    assert len(simplify(np.zeros(0, object), 5)) == 0


def test_overlaps_are_found():
    squares = np.array([shapely.box(x, 0, x + 10, 10) for x in (0, 9, 19, 40)], object)
    assert overlapping_pairs(squares).tolist() == [[0, 1]]


@settings(max_examples=100, deadline=None)
@given(fabrics, st.integers(0, 400))
def test_filled_holes_swallow_what_lies_in_them(polygons, min_area):
    filled, absorbed = fill_holes(polygons, min_area)
    kept = filled[~absorbed]
    assert shapely.is_valid(kept).all()
    assert not len(overlapping_pairs(kept))
    assert all(shapely.Polygon(ring).area >= min_area for polygon in kept for ring in polygon.interiors)
    assert shapely.covers(shapely.union_all(kept), shapely.union_all(polygons))
    # Nothing but holes was added.
    assert shapely.equals(
        shapely.union_all(shapely.polygons(shapely.get_exterior_ring(kept))),
        shapely.union_all(shapely.polygons(shapely.get_exterior_ring(polygons))),
    )


def test_a_hole_with_a_point_to_keep_stays():
    ring = shapely.box(0, 0, 10, 10) - shapely.box(1, 1, 2, 2) - shapely.box(5, 5, 6, 6)
    filled, _ = fill_holes(np.array([ring], object), 4, keep_around=np.array([shapely.Point(5.5, 5.5)]))
    assert filled[0].equals(shapely.box(0, 0, 10, 10) - shapely.box(5, 5, 6, 6))
