"""Metres on the ground per pixel, from any CRS."""

import math

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer

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


@pytest.mark.parametrize("crs", ["EPSG:4807", "EPSG:4901", "EPSG:4902", "EPSG:4821", "EPSG:27572"])
def test_grads_and_the_meridian_of_paris(crs: str) -> None:
    """Pixels of 0.75 m on the ground by hand: from lengths of a degree on Clarke's ellipsoid, or the map's own unit."""
    known = CRS.from_user_input(crs)
    latitude, pixel = 46.8, 0.75
    ellipsoid = known.ellipsoid
    a = ellipsoid.semi_major_metre
    e2 = 1 - (ellipsoid.semi_minor_metre / a) ** 2
    sin2 = math.sin(math.radians(latitude)) ** 2
    meridian_m = math.radians(1) * a * (1 - e2) / (1 - e2 * sin2) ** 1.5
    parallel_m = math.radians(1) * a / math.sqrt(1 - e2 * sin2) * math.cos(math.radians(latitude))
    if known.is_geographic:  # 10/9 grads are a degree
        x, y, left, top = pixel / parallel_m / 0.9, pixel / meridian_m / 0.9, 0.5, latitude / 0.9
    else:
        x = y = pixel
        left, top = 600000, 2200000
    sizes = ground_resolution_m(GeoBox((480, 480), Affine(x, 0, left, 0, -y, top), crs))
    assert sizes == pytest.approx((pixel, pixel), rel=2e-4)


@pytest.mark.parametrize(
    ("crs", "unit_m"),
    [
        ("EPSG:2227", 1200 / 3937),  # California, US survey feet
        ("EPSG:2222", 0.3048),  # Arizona, international feet
        ("EPSG:2136", 0.3047997101815088),  # Ghana, Gold Coast feet
        ("EPSG:29872", 12 / 39.370147),  # Borneo, Sears feet
        ("EPSG:24370", 0.9143985307444408),  # India, yards
        ("EPSG:30200", 0.201166195164),  # Trinidad, links
        ("EPSG:3167", 20.116756),  # Malaya, chains
        ("EPSG:27700", 1.0),
        ("+proj=utm +zone=43 +datum=WGS84 +units=km +type=crs", 1000.0),
    ],
)
def test_maps_in_other_units_than_the_metre(crs: str, unit_m: float) -> None:
    known = CRS.from_user_input(crs)
    area = known.area_of_use
    lon, lat = (73.0, 19.0) if area is None else ((area.west + area.east) / 2, (area.south + area.north) / 2)
    x, y = Transformer.from_crs(4326, known, always_xy=True).transform(lon, lat)
    pixel = 0.75 / unit_m
    sizes = ground_resolution_m(GeoBox((480, 480), Affine(pixel, 0, x, 0, -pixel, y), crs))
    assert sizes == pytest.approx((0.75, 0.75), rel=1.5e-3)  # the scale of the map
