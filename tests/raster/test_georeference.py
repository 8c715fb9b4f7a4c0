"""Images whose place cannot be true are refused before work starts, with what to do."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from uvsam.cli.main import run
from uvsam.errors import GeoreferencingError
from uvsam.raster.scene import open_scene

SITE = 'LOCAL_CS["{}",UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
HALF_M = Affine(0.5, 0, 270000, 0, -0.5, 2106000)
DEGREES = Affine(5e-6, 0, 72.8, 0, -5e-6, 19.0)


def write(path: Path, crs: Any, transform: Affine, side: int = 40) -> Path:
    pixels = np.random.default_rng(5).integers(1, 250, (3, side, side)).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8", crs=crs, transform=transform
    ) as dataset:
        dataset.write(pixels)
    return path


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        (SITE.format("site grid"), HALF_M, "'site grid' .*no place on earth.*EPSG:<code>"),
        (SITE.format("unnamed"), HALF_M, "no place on earth"),
        (SITE.format("WGS 84 / UTM zone 43N"), HALF_M, "no place on earth.*gdal_edit.py -a_srs EPSG:32643"),
        ("EPSG:4978", HALF_M, "no place on earth"),
        ("EPSG:32643", Affine(1, 0, 0, 0, -1, 0), r"corner is at \(0, 0\)"),
        ("EPSG:32643", Affine(1, 0, 0, 0, -1, 40), r"corner is at \(0, 0\)"),
        ("EPSG:32643", Affine(0.5, 0, 0, 0, -0.5, 0), r"corner is at \(0, 0\)"),
        ("EPSG:32643", Affine(0.5, 0, -0.25, 0, -0.5, 0.25), r"corner is at \(0, 0\)"),
        ("EPSG:3857", Affine(1, 0, 0, 0, -1, 0), r"corner is at \(0, 0\)"),
        ("EPSG:4326", Affine(5e-6, 0, 0, 0, -5e-6, 0), r"corner is at \(0, 0\)"),
        ("EPSG:2263", Affine(2, 0, 0, 0, -2, 0), r"corner is at \(0, 0\)"),
        ("EPSG:4326", HALF_M, "not a place in WGS 84"),
        ("EPSG:4807", Affine(5e-6, 0, 2.0, 0, -5e-6, 101.0), "not a place"),
        ("EPSG:4326", Affine(5e-6, 0, 72.8, 0, -5e-6, 90.1), "not a place"),
        ("EPSG:32643", DEGREES, "as if they were degrees"),
        ("EPSG:32643", Affine(0.5, 0, 2.7e8, 0, -0.5, 2.1e9), "not a place"),
    ],
)
def test_what_is_no_place_on_earth_is_refused_or_accepted_with_its_gsd(
    tmp_path: Path, crs: str, transform: Affine, words: str
) -> None:
    path = write(tmp_path / "city.tif", crs, transform)
    with pytest.raises(GeoreferencingError, match=words) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)
    assert "--allow-ungeoreferenced --gsd METRES" in str(caught.value)
    scene = open_scene(path, allow_ungeoreferenced=True, gsd_m=0.7)
    assert scene.geobox.crs is None
    assert scene.gsd_m == pytest.approx((0.7, 0.7))
    with pytest.raises(GeoreferencingError, match="--gsd METRES"):
        open_scene(path, allow_ungeoreferenced=True)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32643", HALF_M),
        ("EPSG:4326", DEGREES),
        ("EPSG:4326", Affine(5e-6, 0, 250.5, 0, -5e-6, 19.0)),
        ("EPSG:3857", Affine(0.5, 0, 20037500, 0, -0.5, 2000000)),
        ("EPSG:25833", Affine(0.5, 0, -32000, 0, -0.5, 6730000)),  # Bergen in the zone that all of Norway uses
        ("EPSG:2056", Affine(0.1, 0, 2600000, 0, -0.1, 1200000)),
        ("+proj=laea +lat_0=19 +lon_0=72.8 +datum=WGS84", Affine(0.5, 0, 0, 0, -0.5, 0)),  # around the image itself
        ("EPSG:32760", Affine(0.75, 0, 819542, 0, -0.75, 8135898)),
    ],
)
def test_unusual_places_are_places(tmp_path: Path, crs: str, transform: Affine) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert open_scene(write(tmp_path / "city.tif", crs, transform)).geobox.crs is not None


def test_a_place_far_from_where_its_crs_is_used_is_doubted(tmp_path: Path) -> None:
    path = write(tmp_path / "city.tif", "EPSG:27700", Affine(0.5, 0, 270000, 0, -0.5, 2706000))
    with pytest.warns(UserWarning, match="degrees outside of the area that OSGB36 / British National Grid is"):
        open_scene(path)


def test_predict_and_info_say_so_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "my city.tif", SITE.format("WGS 84 / UTM zone 43N"), HALF_M)
    for command in (["info", str(path)], ["predict", str(path), "--out", str(tmp_path / "v.gpkg")]):
        assert run(command) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"gdal_edit.py -a_srs EPSG:32643 '{path}'" in said
    assert [file.name for file in tmp_path.iterdir()] == ["my city.tif"]
    with rasterio.open(path, "r+") as dataset:  # what the advice does
        dataset.crs = "EPSG:32643"
    assert run(["info", str(path)]) == 0


def test_advice_does_not_edit_a_file_on_the_web(tmp_path: Path, serve: Callable[..., Any]) -> None:
    write(tmp_path / "city.tif", None, HALF_M)
    with pytest.raises(GeoreferencingError, match=r"gdal_edit\.py -a_srs EPSG:<code> <downloaded copy>$"):
        open_scene(f"{serve().address}/city.tif")
