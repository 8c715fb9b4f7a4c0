"""Images and layers where longitudes begin anew, through the command line, against twins elsewhere."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer

from uvsam.cli.main import run
from uvsam.vectors.antimeridian import split
from uvsam.vectors.polygon_files import moved

WGS84 = CRS.from_epsg(4326)
GEOD = Geod(ellps="WGS84")
SMALL = ["--model", "uvsam-specialist", "--device", "cpu"]


def area_m2(geometry: shapely.Geometry) -> float:
    return float(abs(GEOD.geometry_area_perimeter(geometry)[0]))


@pytest.fixture(scope="module")
def far_east(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated city on the antimeridian, in zone 60: image and truth, each corner moved by the same metres."""
    folder = tmp_path_factory.mktemp("far_east")
    shutil.copy(city / "city_2020.tif", folder / "city.tif")
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth = truth[truth["period"] == 2020]
    with rasterio.open(folder / "city.tif", "r+") as image:
        x, y = Transformer.from_crs(4326, 32660, always_xy=True).transform(180, 16)
        pixel, old = image.transform.a, image.transform
        largest = max(truth.geometry, key=lambda village: village.area).representative_point()
        left, top = round(x - (largest.x - old.c)), round(y)
        middle_y = top + largest.y - old.f
        image.crs, image.transform = "EPSG:32660", Affine(pixel, 0, left, 0, -pixel, top)
        image.update_tags(ACQUIRED="2020-05-17")
    there = truth.geometry.translate(left - old.c, top - old.f)
    gpd.GeoDataFrame(geometry=list(there), crs="EPSG:32660").to_file(folder / "truth_utm.gpkg")
    cut = split(moved(there.to_numpy(), CRS.from_epsg(32660), WGS84), 360.0)
    gpd.GeoDataFrame(geometry=list(cut), crs=WGS84).to_file(folder / "truth.geojson")
    around = shapely.box(left - 100, max(middle_y - 250, top - 899), left + 1100, min(middle_y + 250, top - 1))
    aoi = split(moved(np.array([around]), CRS.from_epsg(32660), WGS84), 360.0)
    gpd.GeoDataFrame(geometry=list(aoi), crs=WGS84).to_file(folder / "aoi.geojson")
    return folder


def test_a_city_on_the_antimeridian(far_east: Path) -> None:
    image, out = far_east / "city.tif", far_east / "villages.geojson"
    item, aoi, tiles = far_east / "item.json", far_east / "aoi.geojson", far_east / "villages.gpkg"
    command = ["predict", str(image), "--aoi", str(aoi), *SMALL]
    assert run([*command, "--out", str(out), "--stac", str(item)]) == 0
    assert run([*command, "--out", str(tiles)]) == 0

    told = json.loads(item.read_text())
    west, south, east, north = told["bbox"]
    assert 179 < west < 180
    assert -180 < east < -179
    assert 15 < south < north < 17
    parts = [part.bounds for part in shapely.geometry.shape(told["geometry"]).geoms]
    assert sorted([round(box[0], 1), round(box[2], 1)] for box in parts) == [[-180, -180], [180, 180]]
    covered = gpd.read_file(far_east / "villages_coverage.geojson")
    with rasterio.open(image) as dataset:
        inside = shapely.box(*dataset.bounds)
    asked = gpd.read_file(aoi).to_crs("EPSG:32660").geometry.explode().union_all()
    assert area_m2(covered.geometry.iloc[0]) == pytest.approx(asked.intersection(inside).area, rel=0.01)

    found, as_written = gpd.read_file(out), gpd.read_file(tiles, layer="villages")
    assert (found.geom_type == "MultiPolygon").any()  # at least one lies across
    assert found.geometry.is_valid.all()
    parts_of = found.geometry.explode().bounds
    assert (parts_of["maxx"] - parts_of["minx"]).max() < 0.02
    assert [area_m2(one) for one in found.geometry] == pytest.approx(as_written["area_m2"].tolist(), rel=1e-3)


def test_evaluation_does_not_depend_on_how_the_truth_is_written(
    far_east: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = []
    for truth in ("truth.geojson", "truth_utm.gpkg"):
        capsys.readouterr()
        assert run(["evaluate", str(far_east / "villages.geojson"), str(far_east / truth), "--json"]) == 0
        pixels.append(json.loads(capsys.readouterr().out)["pixels"])
    assert pixels[0]["iou"] > 0.5
    assert pixels[0]["iou"] == pytest.approx(pixels[1]["iou"], abs=1e-4)
    assert pixels[0]["tp"] == pytest.approx(pixels[1]["tp"], rel=1e-3)


def test_tiles_of_maps_hold_the_parts_and_not_the_world(far_east: Path) -> None:
    if "w" not in pyogrio.list_drivers().get("PMTiles", ""):
        pytest.skip("this GDAL does not write PMTiles")
    out = far_east / "villages.pmtiles"
    command = ["predict", str(far_east / "city.tif"), "--aoi", str(far_east / "aoi.geojson"), *SMALL]
    assert run([*command, "--out", str(out)]) == 0
    shown = gpd.read_file(out, engine="pyogrio").to_crs(WGS84).geometry.explode()
    assert (shown.bounds["maxx"] - shown.bounds["minx"]).max() < 0.02
    assert set(shown.bounds["minx"].round(1).abs()) == {180.0}


def squares(lon: float, grown_m: float) -> np.ndarray:
    """48 villages of 120 x 100 m around a longitude; those in the east have grown in the second period."""
    chart = CRS.from_proj4(f"+proj=laea +lat_0=-16.9 +lon_0={lon} +datum=WGS84")
    places = [(700.0 * i + 30, 600.0 * j) for i in range(-3, 4) for j in range(-4, 4) if (i + j) % 7]
    boxes = [shapely.box(x - 60 - grown_m * (x > 100), y - 50, x + 60, y + 50) for x, y in places]
    return moved(np.array(boxes), chart, WGS84)


def follow(folder: Path, name: str, lon: float, form: str) -> dict[str, gpd.GeoDataFrame]:
    files = []
    for year, grown_m in ((2012, 0.0), (2016, 40.0)):
        polygons = squares(lon, grown_m)
        if form == "cut":
            polygons = split(polygons, 360.0)
        elif form == "up to 360":
            polygons = shapely.transform(polygons, lambda x, y: (x % 360, y), interleaved=False)
        elif form == "jumping":
            polygons = shapely.transform(polygons, lambda x, y: ((x + 180) % 360 - 180, y), interleaved=False)
        files.append(folder / f"{name}_{year}.gpkg")
        gpd.GeoDataFrame(geometry=list(polygons), crs=WGS84).to_file(files[-1])
    out = folder / f"{name}.gpkg"
    centre = f"{lon - 0.001},-16.9"
    rings = [f"--centre={centre}", "--rings-km", "1,2,4"]
    assert run(["trends", *map(str, files), *rings, "--out", str(out)]) == 0
    return {layer: gpd.read_file(out, layer=layer) for layer in ("zones", "hot_spots", "changes", "histories")}


def test_trends_on_the_antimeridian_are_those_of_a_twin(tmp_path: Path) -> None:
    twin = follow(tmp_path, "twin", 170.0, "plain")
    for form in ("cut", "up to 360", "jumping"):
        found = follow(tmp_path, form.replace(" ", "_"), 180.0, form)
        assert found["zones"]["villages"].tolist() == twin["zones"]["villages"].tolist()
        assert found["zones"]["area_m2"].tolist() == pytest.approx(twin["zones"]["area_m2"].tolist(), rel=1e-4, abs=1)
        for layer, expected in twin.items():
            assert len(found[layer]) == len(expected)
            assert found[layer]["area_m2"].sum() == pytest.approx(expected["area_m2"].sum(), rel=1e-6)
            middle = found[layer].geometry.explode().representative_point().x.to_numpy() % 360
            assert abs(middle - 180).max() <= abs(expected.total_bounds[::2] - 170).max() + 1e-4
        assert found["hot_spots"]["z"].tolist() == pytest.approx(twin["hot_spots"]["z"].tolist(), abs=1e-4)
