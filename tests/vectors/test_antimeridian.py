"""Polygons where longitudes begin anew: by hand, by twins elsewhere, and by laws of area."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from uvsam.raster.units import turn_of
from uvsam.vectors.antimeridian import beside, split, together, unwrapped
from uvsam.vectors.local_map import map_around
from uvsam.vectors.polygon_files import moved

WGS84 = CRS.from_epsg(4326)


def ring(*x: float, south: float = -1.0, north: float = 1.0) -> shapely.Polygon:
    west, east = x
    return shapely.Polygon([(west, south), (east, south), (east, north), (west, north)])


def test_how_long_a_turn_is() -> None:
    assert turn_of(WGS84) == pytest.approx(360)
    assert turn_of(CRS.from_epsg(4807)) == pytest.approx(400)  # grads
    for code in (3857, 3832, 32662, 6933, 3395, 3994):  # cylinders, with several central meridians
        crs = CRS.from_epsg(code)
        to_map = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
        middle = {3832: 150, 3994: 100}.get(code, 0)
        (here, there), _ = to_map.transform([middle, middle + 1], [0, 0])
        assert turn_of(crs) == pytest.approx(360 * (there - here))
    assert turn_of(CRS.from_epsg(3857)) == pytest.approx(2 * np.pi * 6378137)
    for code in (32601, 32760, 27572, 2263, 3035, 8857, 3413):
        assert turn_of(CRS.from_epsg(code)) is None


def test_a_jump_is_a_step_across_the_border_and_two_parts_by_hand() -> None:
    flipped = np.array([shapely.Polygon([(179.9, 0), (-179.8, 0), (-179.8, 1), (179.9, 1)])])
    whole = unwrapped(flipped, 360.0)
    assert shapely.area(whole)[0] == pytest.approx(0.3)
    parts = split(flipped, 360.0)[0]
    west, east = shapely.box(179.9, 0, 180, 1), shapely.box(-180, 0, -179.8, 1)
    assert shapely.equals(parts, shapely.union_all([west, east]))
    assert parts.geom_type == "MultiPolygon"


def test_longitudes_up_to_360_come_to_the_west() -> None:
    found = split(np.array([ring(250.0, 250.5), ring(-110.0, -109.5), ring(179.5, 180.5)]), 360.0)
    assert found[0].equals(found[1])
    assert [round(value, 6) for value in shapely.bounds(found[2])] == [-180, -1, 180, 1]


def test_holes_stay_in_their_rings_and_the_world_stays_whole() -> None:
    outer = [(179, -1), (-179, -1), (-179, 1), (179, 1)]
    hole = [(-179.7, -0.5), (-179.6, -0.5), (-179.6, 0.5), (-179.7, 0.5)]
    pierced = np.array([shapely.Polygon(outer, [hole])])
    assert shapely.is_valid(unwrapped(pierced, 360.0)).all()
    assert shapely.area(split(pierced, 360.0))[0] == pytest.approx(2 * 2 - 0.1)
    world = np.array([shapely.box(-180, -90, 180, 90), shapely.box(0, -90, 360, 90)])
    assert shapely.area(unwrapped(world, 360.0)).tolist() == [64800, 64800]


def test_what_is_not_at_the_border_is_the_same_object() -> None:
    kept = np.array([ring(10, 11), ring(-120, -119), shapely.Polygon()])
    for found in (unwrapped(kept, 360.0), split(kept, 360.0), unwrapped(kept, None)):
        assert all(one is other for one, other in zip(found, kept, strict=True))


@given(
    west=st.floats(-400, 400), width=st.floats(0.01, 100), around=st.integers(-1, 1),
    turn=st.sampled_from([360.0, 400.0, 40075016.68]),
)  # fmt: skip
def test_splitting_keeps_the_area_and_stays_within_the_borders(
    west: float, width: float, around: int, turn: float
) -> None:
    scale = turn / 360
    one = np.array([ring(west * scale, (west + width) * scale)])
    other = shapely.transform(one, lambda x, y: (x + around * turn, y), interleaved=False)
    found, again = split(one, turn), split(other, turn)
    assert shapely.area(found) == pytest.approx(shapely.area(one))
    left, _, right, _ = shapely.bounds(found[0])
    assert -turn / 2 <= left <= right <= turn / 2
    difference, area = shapely.area(shapely.symmetric_difference(found, again)), shapely.area(one)
    assert difference[0] == pytest.approx(0, abs=1e-6 * area[0])


@given(middle=st.floats(-180, 180), copies=st.lists(st.integers(-2, 2), min_size=1, max_size=6))
def test_polygons_are_brought_beside_what_they_are_compared_with(middle: float, copies: list[int]) -> None:
    frame = np.array([middle - 0.5, -1, middle + 0.5, 1])
    given_ = np.array([ring(middle - 0.2 + 360 * k, middle + 0.9 + 360 * k) for k in copies])
    for polygon in beside(given_, 360.0, frame):
        assert shapely.bounds(polygon) == pytest.approx([middle - 0.2, -1, middle + 0.9, 1], abs=1e-6)


def test_the_world_is_beside_everything() -> None:
    world = np.array([shapely.box(-180, -80, 180, 80)])
    frame = [179.0, -1.0, 181.0, 1.0]
    inside = shapely.intersection(beside(world, 360.0, frame), shapely.box(*frame))
    assert shapely.area(inside)[0] == pytest.approx(4)


def test_parts_on_both_sides_are_together() -> None:
    boxes = np.array([[179.8, 0, 179.9, 1], [-179.9, 0, -179.8, 1], [-180, 0, 180, 1], [np.nan] * 4])
    found = together(boxes, 360.0)
    assert found[:, 0].min() == pytest.approx(179.8)
    assert found[:, 2].max() == pytest.approx(180.2)
    plain = np.array([[10.0, 0, 11, 1], [-120, 0, -119, 1]])
    assert together(plain, 360.0).tolist() == plain.tolist()
    chart = map_around(boxes, WGS84)
    x, _ = Transformer.from_crs(WGS84, chart, always_xy=True).transform([179.8, -179.8], [0.5, 0.5])
    assert np.hypot(*x) < 40_000  # 22 km to both sides


@pytest.mark.parametrize(("code", "lat"), [(32660, 65.0), (32601, 65.0), (32760, -16.9), (3460, -16.9), (3832, -16.9)])
def test_maps_across_the_border_become_two_narrow_parts(code: int, lat: float) -> None:
    """300 m to both sides of the antimeridian: the parts by geodesics, whatever the map."""
    crs = CRS.from_epsg(code)
    geod = Geod(ellps="WGS84")
    east, north = geod.fwd(180, lat, 90, 300)[0], geod.fwd(180, lat, 0, 200)[1]
    corners = [(-east, lat), (east, lat), (east, north), (-east, north)]  # 179.99... and -179.99...
    xy = Transformer.from_crs(4326, crs, always_xy=True).transform(*np.transpose(corners))
    there = np.array([shapely.Polygon(np.transpose(xy))])
    found = split(moved(there, crs, WGS84), 360.0)[0]
    assert found.geom_type == "MultiPolygon"
    by_hand = sorted([[abs(east), lat, 180, north], [-180, lat, -abs(east), north]])
    for part, expected in zip(sorted(shapely.bounds(one).tolist() for one in found.geoms), by_hand, strict=True):
        assert part == pytest.approx(expected, abs=2e-6)
        area, _ = geod.geometry_area_perimeter(shapely.box(*part))
        assert abs(area) == pytest.approx(300 * 200, rel=0.01)


def test_web_mercator_beyond_its_end_is_the_same_ground_as_on_the_other_side() -> None:
    crs, half = CRS.from_epsg(3857), np.pi * 6378137
    beyond = np.array([shapely.box(half - 100, 2e6, half + 300, 2.001e6)])
    parts = split(moved(beyond, crs, WGS84), 360.0)[0]
    inside = sorted([one.bounds[0], one.bounds[2]] for one in parts.geoms)
    assert np.ravel(inside) == pytest.approx([-180, -180 + 300 / half * 180, 180 - 100 / half * 180, 180])
    back = beside(moved(split(moved(beyond, crs, WGS84), 360.0), WGS84, crs), turn_of(crs), shapely.bounds(beyond[0]))
    assert shapely.area(shapely.symmetric_difference(back, beyond))[0] == pytest.approx(0, abs=1.0)
