"""Outlines in a stream are those of the whole scene, in one order, wherever they are drawn."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from scipy import ndimage

from uvsam.engine.executors import open_run
from uvsam.errors import OutputError, SceneError
from uvsam.mosaic import regions as regions_module
from uvsam.mosaic import scores
from uvsam.mosaic.regions import RegionRules, find_regions
from uvsam.vectors.geopackage import read_run
from uvsam.vectors.outlines import draw_outlines, write_outlines
from uvsam.vectors.polygon_files import to_wkb
from uvsam.vectors.villages import villages_from_scores

RULES = RegionRules(0.6, 0.65, min_area_m2=9, close_m=2)
GSD_M = (0.6, 0.6)
GRID = rasterio.Affine(0.6, 0, 500_000, 0, -0.6, 4_420_000)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.random((700, 300)), (4, 2)) + 0.02 * rng.random((700, 300))
    values = (1 + 254 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    values[200:230, 40:90] = 0
    values[50:650, 150:152] = 200  # a village through most of the strips
    path = tmp_path_factory.mktemp("scene") / "scores.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=700, width=300, count=1, dtype="uint8", nodata=0, crs="EPSG:32650",
        transform=GRID, tiled=True, blockxsize=64, blockysize=64,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path, GeoBox(values.shape, GRID, "EPSG:32650")


@pytest.mark.parametrize("few", [0, 2**14])
@pytest.mark.parametrize("rows", [1, 17, 64, 700])
def test_neither_strips_nor_their_order_show(scene, monkeypatch, rows, few):
    path, _ = scene
    monkeypatch.setattr(regions_module, "FEW_RUNS", few)
    drawn = [
        [(number, polygon.wkb) for part in draw_outlines(regions) for number, polygon in zip(*part, strict=True)]
        for regions in (find_regions(path, RULES, GSD_M, rows=rows), find_regions(path, RULES, GSD_M))
    ]
    assert len(drawn[0]) > 100
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("place", [{}, {"workers": 3}, {"workers": 2, "processes": True}])
def test_the_file_has_the_regions_wherever_they_are_drawn(scene, tmp_path, monkeypatch, place):
    path, geobox = scene
    monkeypatch.setattr(scores, "STRIP_PX", 64 * 300)
    out = tmp_path / "outlines.gpkg"
    with open_run(**place) as run:
        count = write_outlines(out, path, geobox, GSD_M, RULES, run=run)
        villages, coverage = villages_from_scores(path, geobox, GSD_M, RULES, run=run)
    frame = gpd.read_file(out, layer="outlines")
    assert len(frame) == count == len(villages)
    assert frame.crs == villages.crs
    assert frame.is_valid.all()
    regions = find_regions(path, RULES, GSD_M)
    assert len(regions.strips) > 5
    at = frame["region"].to_numpy() - 1
    assert frame["pixels"].tolist() == regions.pixels[at].tolist()
    assert frame["on_edge"].tolist() == regions.on_edge[at].tolist()
    assert frame.area.to_numpy() == pytest.approx(regions.pixels[at] * 0.36)
    assert (np.diff(regions.bounds_px[at, 2]) >= 0).all()
    # Villages without filling and simplifying are the same outlines.
    assert set(shapely.to_wkb(frame.geometry)) == set(to_wkb(villages.geometry.to_numpy()))
    assert read_run(out)["seed_threshold"] == "0.65"
    assert coverage.area.sum() == pytest.approx((700 * 300 - 30 * 50) * 0.36)


def test_a_scene_without_a_region_has_an_empty_layer(scene, tmp_path):
    path, geobox = scene
    assert write_outlines(tmp_path / "none.gpkg", path, geobox, GSD_M, RegionRules(0.5, 0.5, min_area_m2=1e9)) == 0
    frame = gpd.read_file(tmp_path / "none.gpkg", layer="outlines")
    assert (len(frame), frame.crs) == (0, "EPSG:32650")


def test_a_file_in_the_way_and_scores_that_end_early_leave_no_file(scene, tmp_path):
    path, geobox = scene
    out = tmp_path / "outlines.gpkg"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        write_outlines(out, path, geobox, GSD_M, RULES)
    broken = tmp_path / "scores.tif"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_run(2) as run, pytest.raises(SceneError, match="cannot read the scores"):
        write_outlines(out, broken, geobox, GSD_M, RULES, overwrite=True, run=run)
    assert out.read_bytes() == b"mine"
