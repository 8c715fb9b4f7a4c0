import math

import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod

from uvsam.errors import GeoreferencingError
from uvsam.vectors.measures import compactness, geodesic_measures, planar_measures


def one(polygon, crs):
    area, perimeter = geodesic_measures(np.array([polygon], object), CRS.from_user_input(crs))
    return area[0], perimeter[0]


def test_a_square_kilometre_in_utm_has_the_scale_of_its_zone():
    # On the central meridian UTM lengths are 0.9996 of those on the ellipsoid.
    area, perimeter = one(shapely.box(499_500, 4_000_000, 500_500, 4_001_000), "EPSG:32650")
    assert area == pytest.approx(1e6 / 0.9996**2, rel=1e-7)
    assert perimeter == pytest.approx(4e3 / 0.9996, rel=1e-7)


def test_a_small_square_in_degrees_is_that_of_pyproj():
    square = shapely.box(116.4, 39.9, 116.402, 39.902)
    expected = Geod(ellps="WGS84").geometry_area_perimeter(square)
    assert one(square, "EPSG:4326") == pytest.approx((abs(expected[0]), expected[1]), rel=1e-9)


def test_a_large_box_follows_its_parallels_and_not_great_circles():
    # Between parallels the ellipsoid's area has a closed form (authalic latitude).
    west, south, east, north = 110.0, 30.0, 115.0, 40.0
    e = math.sqrt(0.0818191908426215**2)

    def q(latitude):
        s = math.sin(math.radians(latitude))
        return (1 - e**2) * (s / (1 - e**2 * s**2) - math.log((1 - e * s) / (1 + e * s)) / (2 * e))

    expected = 6378137.0**2 * math.radians(east - west) / 2 * (q(north) - q(south))
    assert one(shapely.box(west, south, east, north), "EPSG:4326")[0] == pytest.approx(expected, rel=1e-7)


def test_web_mercator_shrinks_with_the_latitude():
    # EPSG:3857 is a sphere's projection: at 40 N its metres are cos(40) of a metre, up to the flattening.
    y = 6378137 * math.log(math.tan(math.pi / 4 + math.radians(40) / 2))
    area, perimeter = one(shapely.box(12_950_000, y - 500, 12_951_000, y + 500), "EPSG:3857")
    assert area == pytest.approx(1e6 * math.cos(math.radians(40)) ** 2, rel=5e-3)
    assert perimeter == pytest.approx(4e3 * math.cos(math.radians(40)), rel=5e-3)


def test_feet_are_not_metres():
    area, _ = one(shapely.box(984_000, 200_000, 985_000, 201_000), "EPSG:2263")
    assert area == pytest.approx(1e6 * 0.3048006096**2, rel=1e-4)


def test_holes_and_parts_count_whatever_their_direction():
    outer, hole = shapely.box(0, 0, 90, 90), shapely.box(30, 30, 60, 60)
    far = shapely.transform(shapely.box(0, 0, 10, 10), lambda xy: xy + 200)
    ring = shapely.Polygon(outer.exterior, [hole.exterior])
    shape = shapely.transform(shapely.MultiPolygon([ring, far]), lambda xy: xy + np.array([500_000, 4_000_000]))
    scale = 1 / 0.9996
    for geometry in (shape, shapely.reverse(shape)):
        area, perimeter = one(geometry, "EPSG:32650")
        assert area == pytest.approx((8100 - 900 + 100) * scale**2, rel=1e-6)
        assert perimeter == pytest.approx((360 + 120 + 40) * scale, rel=1e-6)


def test_compactness_of_a_disc_and_a_square():
    shapes = np.array([shapely.Point(0, 0).buffer(100, quad_segs=64), shapely.box(0, 0, 10, 10)], object)
    area, perimeter = planar_measures(shapes)
    assert compactness(area, perimeter) == pytest.approx([1, math.pi / 4], abs=1e-3)


def test_nothing_measures_nothing():
    area, perimeter = geodesic_measures(np.zeros(0, object), CRS.from_epsg(4326))
    assert area.shape == perimeter.shape == (0,)


@pytest.mark.parametrize("crs", ["EPSG:32650", "EPSG:4326"])
def test_coordinates_off_the_earth_are_an_error(crs):
    with pytest.raises(GeoreferencingError, match="cannot measure polygons in WGS 84"):
        one(shapely.box(1e12, 1e12, 2e12, 2e12), crs)
