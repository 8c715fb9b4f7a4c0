"""Metres on the ground per pixel, from any CRS."""

import math

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod

from uvsam.errors import GeoreferencingError
from uvsam.raster.resolution import ground_resolution_m

ZOOM_17_M = 2 * math.pi * 6378137 / 256 / 2**17


def test_a_zoom_17_pixel_in_beijing_is_0_914_m() -> None:
    geobox = GeoBox((2560, 2560), Affine(ZOOM_17_M, 0, 12942317.6, 0, -ZOOM_17_M, 4882797.4), "EPSG:3857")
    assert sum(ground_resolution_m(geobox)) / 2 == pytest.approx(0.914, abs=0.002)


@settings(deadline=None)
@given(
    zoom=st.integers(10, 20),
    longitude=st.floats(-179, 179),
    latitude=st.floats(-80, 80),
)
def test_web_mercator_shrinks_with_latitude(zoom: int, longitude: float, latitude: float) -> None:
    pixel = 2 * math.pi * 6378137 / 256 / 2**zoom
    x = 6378137 * math.radians(longitude)
    y = 6378137 * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    geobox = GeoBox((2, 2), Affine(pixel, 0, x - pixel, 0, -pixel, y + pixel), "EPSG:3857")
    for size in ground_resolution_m(geobox):
        assert size == pytest.approx(pixel * math.cos(math.radians(latitude)), rel=0.007)  # sphere to ellipsoid


@settings(deadline=None)
@given(longitude=st.floats(-179.9, 179.9), latitude=st.floats(-85, 85), pixel=st.floats(1e-6, 1e-3))
def test_degrees_are_measured_on_the_ellipsoid(longitude: float, latitude: float, pixel: float) -> None:
    geobox = GeoBox((10, 10), Affine(pixel, 0, longitude - 5 * pixel, 0, -pixel, latitude + 5 * pixel), "EPSG:4326")
    sin2 = math.sin(math.radians(latitude)) ** 2
    a, e2 = 6378137.0, 0.0066943799901413165
    meridian = a * (1 - e2) / (1 - e2 * sin2) ** 1.5
    parallel = a / math.sqrt(1 - e2 * sin2) * math.cos(math.radians(latitude))
    assert ground_resolution_m(geobox) == pytest.approx(
        (math.radians(pixel) * parallel, math.radians(pixel) * meridian), rel=1e-4
    )


@settings(deadline=None)
@given(angle=st.floats(0, 360), x_m=st.floats(0.1, 5), y_m=st.floats(0.1, 5), up=st.booleans())
def test_rotated_south_up_and_oblong_pixels(angle: float, x_m: float, y_m: float, up: bool) -> None:
    affine = Affine.translation(500000, 5000000) * Affine.rotation(angle) * Affine.scale(x_m, y_m if up else -y_m)
    sizes = ground_resolution_m(GeoBox((100, 100), affine, "EPSG:32633"))
    assert sizes == pytest.approx((x_m / 0.9996, y_m / 0.9996), rel=1e-4)  # scale factor on the central meridian


def test_feet() -> None:
    geobox = GeoBox((100, 100), Affine(2, 0, 1000000, 0, -2, 200000), "EPSG:2263")  # New York, US survey feet
    assert ground_resolution_m(geobox) == pytest.approx((0.6096, 0.6096), rel=1e-4)


def test_across_the_antimeridian() -> None:
    geobox = GeoBox((10, 10), Affine(1e-5, 0, 180 - 5e-5, 0, -1e-5, 0), "EPSG:4326")
    expected = Geod(ellps="WGS84").inv(0, 0, 1e-5, 0)[2]
    assert ground_resolution_m(geobox)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("affine", "crs"),
    [
        (Affine(1, 0, 270000, 0, -1, 2106000), "EPSG:4326"),  # metres called degrees
        (Affine(1, 0, 1e9, 0, -1, 1e9), "EPSG:32633"),
        (Affine(0, 0, 500000, 0, 0, 5000000), "EPSG:32633"),
    ],
)
def test_a_place_that_is_not_on_earth(affine: Affine, crs: str) -> None:
    with pytest.raises(GeoreferencingError, match="not a place"):
        ground_resolution_m(GeoBox((10, 10), affine, crs))
