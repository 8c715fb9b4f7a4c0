import datetime

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer
from rasterio.features import rasterize
from scipy import ndimage

from uvsam.mosaic.regions import RegionRules
from uvsam.vectors.geopackage import write_villages
from uvsam.vectors.schema import COVERAGE, VILLAGES, check_schema
from uvsam.vectors.villages import villages_from_scores

HALF = RegionRules(0.5, 0.5)


def scene(path, values, transform=None, crs="EPSG:32650"):
    transform = transform or Affine(1, 0, 500_000, 0, -1, 4_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype="uint8", nodata=0,
        crs=crs, transform=transform, tiled=True, blockxsize=64, blockysize=48,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path, GeoBox(values.shape, transform, crs)


def city(seed=0, shape=(300, 200)):
    """Ragged villages of all sizes, a strip that was not looked at, and dead pixels."""
    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.random(shape), 4)
    values = (1 + 254 * (score - score.min()) / np.ptp(score)).astype(np.uint8)
    values[:, 150:170] = 0
    values[rng.random(shape) < 0.001] = 0
    return values


GRIDS = {
    "utm": (Affine(0.6, 0, 500_000, 0, -0.6, 4_420_000), "EPSG:32650"),
    "rotated": (
        Affine.translation(440_000, 4_420_000) @ Affine.rotation(33) @ Affine.scale(0.5, -0.8),
        "EPSG:32650",
    ),
    "south up": (Affine(0.6, 0, 500_000, 0, 0.6, 4_420_000), "EPSG:32650"),
    "degrees": (Affine(1e-5, 0, 116.4, 0, -1e-5, 39.9), "EPSG:4326"),
    "web mercator": (Affine(1.194, 0, 12_950_000, 0, -1.194, 4_852_000), "EPSG:3857"),
    "pixels": (Affine.identity(), None),
}


def grid(name, shape=(300, 200)):
    """Transform, CRS and the size of the middle pixel on the ground."""
    transform, crs = GRIDS[name]
    if crs is None:
        return transform, crs, (0.6, 0.6)
    x, y = shape[1] / 2, shape[0] / 2
    xs, ys = transform @ (np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(xs, ys)
    _, _, length = Geod(ellps="WGS84").inv(lon[[0, 0]], lat[[0, 0]], lon[1:], lat[1:])
    return transform, crs, (float(length[0]), float(length[1]))


@pytest.mark.parametrize("name", GRIDS)
def test_villages_are_the_pixels_above_the_threshold_on_any_grid(tmp_path, name):
    transform, crs, gsd_m = grid(name)
    values = city()
    path, geobox = scene(tmp_path / "scores.tif", values, transform, crs)
    villages, coverage = villages_from_scores(
        path, geobox, gsd_m, HALF, acquired=datetime.date(2016, 5, 4), model="segformer"
    )
    check_schema(villages, VILLAGES)
    check_schema(coverage, COVERAGE)
    assert villages.crs == coverage.crs == (CRS.from_user_input(crs) if crs else None)

    village = values >= 1 + 127
    drawn = rasterize(
        zip(villages.geometry, villages["village_id"], strict=True), values.shape, transform=transform, dtype="int32"
    )
    assert ((drawn > 0) == village).all()
    assert (rasterize(coverage.geometry, values.shape, transform=transform) == (values > 0)).all()
    assert len(villages) == ndimage.label(village)[1]

    pixel_m2 = gsd_m[0] * gsd_m[1]
    pixels = np.bincount(drawn.ravel())[1:]
    assert villages["area_m2"].to_numpy() == pytest.approx(pixels * pixel_m2, rel=2e-4)
    assert coverage["area_m2"][0] == pytest.approx((values > 0).sum() * pixel_m2, rel=2e-4)
    assert villages["village_id"].tolist() == list(range(1, len(villages) + 1))
    assert (np.diff(villages["area_m2"]) <= 0).all()
    means = ndimage.mean((values - 1.0) / 254, drawn, villages["village_id"])
    assert villages["confidence"].to_numpy() == pytest.approx(means)
    beyond = ndimage.binary_dilation(np.pad(values, 1) == 0)[1:-1, 1:-1]
    assert villages["on_edge"].tolist() == ndimage.maximum(beyond, drawn, villages["village_id"]).astype(bool).tolist()
    assert ((villages["compactness"] > 0) & (villages["compactness"] < 0.8)).all()


def test_filled_holes_respect_what_was_not_looked_at(tmp_path):
    values = np.full((60, 60), 1, np.uint8)
    values[5:55, 5:55] = 255
    values[10:15, 10:15] = 1  # a yard of 25 m2
    values[20:25, 20:25] = 1  # one with a dead pixel in it
    values[22, 22] = 0
    values[30:50, 30:50] = 1  # a block of 400 m2 ...
    values[35:45, 35:45] = 255  # ... with a village in it
    path, geobox = scene(tmp_path / "scores.tif", values)

    def outlines(min_hole_m2):
        return villages_from_scores(path, geobox, (1.0, 1.0), HALF, min_hole_m2=min_hole_m2)[0]

    def pixels(frame):
        return [round(area) for area in shapely.area(frame.geometry.to_numpy())]

    assert pixels(outlines(0)) == [2500 - 25 - 25 - 400, 100]
    assert pixels(outlines(26)) == [2500 - 25 - 400, 100]
    assert pixels(outlines(401)) == [2500 - 25]
    assert outlines(401)["confidence"].tolist() == [1.0]
    assert outlines(0)["on_edge"].tolist() == [False, False]


@pytest.mark.parametrize("name", ["utm", "rotated", "degrees"])
def test_simplified_villages_are_valid_apart_and_lighter(tmp_path, name):
    transform, crs, gsd_m = grid(name)
    path, geobox = scene(tmp_path / "scores.tif", city(), transform, crs)
    exact, _ = villages_from_scores(path, geobox, gsd_m, HALF)
    simple, _ = villages_from_scores(path, geobox, gsd_m, HALF, simplify_m=1.5)
    assert simple.is_valid.all()
    joined = shapely.union_all(simple.geometry.to_numpy())
    assert joined.area == pytest.approx(shapely.area(simple.geometry.to_numpy()).sum())
    assert shapely.get_num_coordinates(simple.geometry).sum() < shapely.get_num_coordinates(exact.geometry).sum() / 2
    assert simple["area_m2"].sum() == pytest.approx(exact["area_m2"].sum(), rel=0.02)


def test_nothing_found_is_a_result(tmp_path):
    values = np.full((40, 30), 50, np.uint8)
    path, geobox = scene(tmp_path / "scores.tif", values)
    villages, coverage = villages_from_scores(path, geobox, (1.0, 1.0), HALF, min_hole_m2=10, simplify_m=1)
    assert len(villages) == 0
    assert coverage["area_m2"][0] == pytest.approx(1200, rel=1e-3)
    write_villages(tmp_path / "villages.gpkg", villages, coverage, {})
    assert list(gpd.read_file(tmp_path / "villages.gpkg").columns) == [*VILLAGES.columns, "geometry"]

    path, geobox = scene(tmp_path / "unseen.tif", values * 0)
    villages, coverage = villages_from_scores(path, geobox, (1.0, 1.0), HALF, min_hole_m2=10, simplify_m=1)
    assert (len(villages), len(coverage)) == (0, 0)


def test_the_same_scores_give_the_same_file_twice(tmp_path):
    path, geobox = scene(tmp_path / "scores.tif", city(5))
    first, second = (villages_from_scores(path, geobox, (1.0, 1.0), HALF, simplify_m=2)[0] for _ in range(2))
    assert first.to_wkb().equals(second.to_wkb())
