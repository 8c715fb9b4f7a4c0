"""What training sees of an image is what prediction sees of it."""

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform_bounds

from uvsam.cli.main import run
from uvsam.errors import LabelError
from uvsam.raster.collar import find_collars
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import open_scene
from uvsam.training.config import Source
from uvsam.training.data import open_source
from uvsam.training.sampling import query_at

SIZE = 300
PLACE = {"crs": "EPSG:32643", "transform": Affine(1, 0, 270_000, 0, -1, 2_106_000)}


def write(path: Path, pixels: np.ndarray, **more: object) -> Path:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype, **PLACE}
    with rasterio.open(path, "w", **profile | more) as dataset:
        dataset.write(pixels)
    return path


@pytest.fixture
def ground() -> np.ndarray:
    return np.random.default_rng(4).integers(300, 2500, (4, SIZE, SIZE), np.uint16)


def source(folder: Path, image: Path, **more: object) -> Source:
    left, top = PLACE["transform"] * (200, 100)
    village = gpd.GeoDataFrame(geometry=[shapely.box(left, top - 50, left + 50, top)], crs=PLACE["crs"])
    village.to_file(folder / "villages.gpkg", engine="pyogrio")
    return Source(**{"name": "city", "images": image, "labels": folder / "villages.gpkg"} | more)


def seen(one: Source) -> tuple[np.ndarray, np.ndarray]:
    """Image and validity of the whole ground at 1 m."""
    left, top = PLACE["transform"] * (0, 0)
    sample = open_source(one)[query_at(left, top - SIZE, SIZE, SIZE, (1, 1))]
    return sample["image"].numpy(), sample["valid"].numpy()


def test_a_collar_that_the_file_does_not_tell_of_shows_nothing_and_pulls_no_stretch(
    tmp_path: Path, ground: np.ndarray
) -> None:
    ground[:, :, :90] = 0
    image, valid = seen(source(tmp_path, write(tmp_path / "a.tif", ground[:3])))
    assert not valid[:, :89].any()
    assert valid[:, 91:].all()
    twin = write(tmp_path / "b.tif", ground[:3], nodata=0)
    stretched = estimate_stretch(open_scene(twin)).apply(ground[:3].astype(np.uint16))
    np.testing.assert_allclose(image[:, :, 91:], stretched[:, :, 91:], atol=1)
    assert find_collars(open_scene(twin)).validity.collars == ()


def test_a_collar_of_an_image_in_another_crs_lies_where_it_is(tmp_path: Path, ground: np.ndarray) -> None:
    ground[:, :90] = 0
    left, bottom, right, top = transform_bounds(PLACE["crs"], "EPSG:4326", 270_000, 2_105_700, 270_300, 2_106_000)
    place = {
        "crs": "EPSG:4326",
        "transform": Affine((right - left) / SIZE, 0, left, 0, (bottom - top) / SIZE, top),
    }
    (tmp_path / "many").mkdir()
    write(tmp_path / "many" / "a.tif", ground[:3, :, : SIZE // 2])
    write(tmp_path / "many" / "b.tif", ground[:3], **place)
    _, valid = seen(source(tmp_path, tmp_path / "many"))
    assert not valid[5:85, 5:-5].any()
    assert valid[95:-5, 5:-5].all()


def test_a_band_that_is_only_flagged_as_alpha_hides_nothing(tmp_path: Path, ground: np.ndarray) -> None:
    ground[3, 100:] = 0  # near infrared of water
    image, valid = seen(source(tmp_path, write(tmp_path / "a.tif", ground, photometric="RGB", alpha="YES")))
    assert valid.all()
    plain, _ = seen(source(tmp_path, write(tmp_path / "b.tif", ground[:3])))
    np.testing.assert_allclose(image, plain, atol=1)
    ground[3] = 65535
    ground[3, 100:] = 0
    _, valid = seen(source(tmp_path, write(tmp_path / "c.tif", ground, photometric="RGB", alpha="YES")))
    assert valid[:99].all()
    assert not valid[101:].any()


@pytest.mark.parametrize("what", ["images", "labels"])
def test_pipes_and_services_are_refused_before_they_are_opened(
    tmp_path: Path, ground: np.ndarray, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    image = write(tmp_path / "a.tif", ground[:3])
    labels = write(tmp_path / "l.tif", (ground[:1] > 2000).astype(np.uint8))
    os.mkfifo(tmp_path / "pipe.tif")
    service = "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:1/${z}</ServerUrl></Service></GDAL_WMS>"
    (tmp_path / "wms.tif").write_text(service)
    for name, said in (("pipe.tif", "pipe or a device"), ("wms.tif", "cannot open")):
        given = {"images": image, "labels": labels, what: tmp_path / name, "values": {0: "other", 1: "village"}}
        with pytest.raises(LabelError, match=said):
            open_source(source(tmp_path, image, **given))
        if what == "labels":
            village = str(tmp_path / "villages.gpkg")
            assert run(["evaluate", village, str(tmp_path / name), "--truth-value", "1"]) != 0
            assert said in capfd.readouterr().err
