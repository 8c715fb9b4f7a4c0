"""Zones and rings hold everything once, and curves end at all."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.change.overlay import Polygons
from uvsam.change.places import count_in_zones, cumulative, distances_m, rings

CENTRE = (1000.0, 1000.0)


@st.composite
def villages(draw: st.DrawFn) -> Polygons:
    cells = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12, unique=True))
    size = st.floats(20, 200)
    return np.array([shapely.box(200 * x, 200 * y, 200 * x + draw(size), 200 * y + draw(size)) for x, y in cells])


@settings(max_examples=50, deadline=None)
@given(villages(), st.lists(st.floats(50, 1400), min_size=1, max_size=4, unique=True))
def test_rings_hold_every_village_once(found: Polygons, edges: list[float]) -> None:
    within = rings(CENTRE, [*sorted(edges), 3000])
    held = count_in_zones(found, within)
    assert held.villages.sum() == len(found)
    assert held.area_m2.sum() == pytest.approx(shapely.area(found).sum())
    assert shapely.area(within).sum() == pytest.approx(np.pi * 3000**2, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(villages())
def test_the_curve_rises_from_none_to_all(found: Polygons) -> None:
    at = np.linspace(0, 3000, 31)
    curve = cumulative(distances_m(found, CENTRE), shapely.area(found), at)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == pytest.approx(1)
    inside = shapely.distance(shapely.centroid(found), shapely.Point(CENTRE)) <= 1000
    assert curve[10] == pytest.approx(shapely.area(found[inside]).sum() / shapely.area(found).sum())


def test_a_village_on_a_border_is_counted_where_most_of_it_is() -> None:
    zones = np.array([shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100)])
    found = count_in_zones(np.array([shapely.box(80, 0, 130, 10)]), zones)
    assert found.villages.tolist() == [0, 1]
    assert found.area_m2.tolist() == [200, 300]


@settings(max_examples=50, deadline=None)
@given(villages(), st.lists(st.tuples(*[st.integers(0, 20)] * 4), min_size=1, max_size=4))
def test_each_of_zones_that_overlap_has_all_that_lies_in_it(
    found: Polygons, corners: list[tuple[int, int, int, int]]
) -> None:
    zones = np.array([shapely.box(100 * x, 100 * y, 100 * (x + w + 1), 100 * (y + h + 1)) for x, y, w, h in corners])
    held = count_in_zones(found, zones)
    for zone, count, area in zip(zones, held.villages, held.area_m2, strict=True):
        inside = shapely.area(shapely.intersection(found, zone))
        assert area == pytest.approx(inside.sum())
        assert (inside > 0.51 * shapely.area(found)).sum() <= count <= (inside > 0).sum()
    alone = count_in_zones(found, zones[:1])
    assert held.villages[0] <= alone.villages[0]  # which counts what another zone may have more of


def test_halves_of_neighbours_are_counted_once() -> None:
    zones = np.array([shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100)])
    assert count_in_zones(np.array([shapely.box(50, 0, 150, 10)]), zones).villages.sum() == 1
