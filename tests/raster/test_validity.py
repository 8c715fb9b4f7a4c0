"""Which pixels show nothing, where the file says it badly; the right answer is a twin file with NaN or a mask."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from uvsam.errors import SettingsError
from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import IDENTITY, survey
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

FLT_MAX, DBL_MAX = float(np.finfo("float32").max), float(np.finfo("float64").max)


def save(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000), "driver": "GTiff"} | profile
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=pixels.dtype, **place) as dataset:
        dataset.write(pixels)
    return path


def valid(scene: Scene) -> np.ndarray:
    with SceneReader(scene, IDENTITY) as reader:
        return reader.read(Window(0, 0, *scene.shape)).valid


def reflectance(dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(2).gamma(4, 0.05, (3, 90, 110)).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "stored", "said"),
    [
        ("float32", -FLT_MAX, -3.4e38), ("float32", -FLT_MAX, -3.40282e38), ("float32", -FLT_MAX, None),
        ("float32", FLT_MAX, None), ("float32", -np.inf, None), ("float32", np.inf, 3.4e38), ("float32", np.nan, -9999),
        ("float64", -DBL_MAX, -1.79e308), ("float64", -DBL_MAX, None), ("float64", -FLT_MAX, -3.4e38),
        ("float32", 0.1, 0.1), ("float64", 0.1, 0.10000000149), ("float32", -9999.0, -9999.001),
        ("float32", -1234567.0, -1.23457e6), ("float32", 1e38, 0.0), ("float64", -1e31, -9999.0),
    ],
)  # fmt: skip
def test_float_collars_are_as_nan(tmp_path: Path, dtype: str, stored: float, said: float | None) -> None:
    pixels = reflectance(dtype)
    twin = pixels.copy()
    pixels[:, :, 70:], twin[:, :, 70:] = stored, np.nan
    scene = open_scene(save(tmp_path / "city.tif", pixels, nodata=said))
    right = open_scene(save(tmp_path / "twin.tif", twin))
    np.testing.assert_array_equal(valid(scene), valid(right))
    assert survey(scene) == survey(right)


def test_real_values_near_a_nodata_of_0_stay(tmp_path: Path) -> None:
    pixels = reflectance()
    pixels[:, 0] = 1e-7
    assert valid(open_scene(save(tmp_path / "city.tif", pixels, nodata=0))).all()


@pytest.mark.parametrize(("dtype", "said"), [("uint8", -9999), ("uint8", 256), ("uint16", -1), ("uint16", np.nan)])
def test_a_nodata_that_cannot_occur_is_said(tmp_path: Path, dtype: str, said: float) -> None:
    pixels = np.random.default_rng(2).integers(0, 250, (3, 40, 40)).astype(dtype)
    plain = save(tmp_path / "plain.tif", pixels, photometric="rgb")
    path = tmp_path / "city.vrt"
    rasterio.shutil.copy(plain, path, driver="VRT")
    text = path.read_text()
    path.write_text(text.replace("<ColorInterp>", f"<NoDataValue>{said}</NoDataValue><ColorInterp>"))
    with pytest.warns(UserWarning, match=r"city\.vrt says that .* is nodata, which its u.* pixels cannot be"):
        scene = open_scene(path)
    assert valid(scene).all()
    assert scene.nodata is None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        open_scene(path, nodata="none")


def test_nodata_of_each_band_its_own(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(10, 250, (3, 40, 40)).astype("int16")
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = -1, -2, -3
    pixels[0, 3] = -2  # a value of another band's
    path = tmp_path / "city.vrt"
    rasterio.shutil.copy(save(tmp_path / "plain.tif", pixels, photometric="rgb"), path, driver="VRT")
    parts = path.read_text().split("<ColorInterp>")
    values = ["", "<NoDataValue>-1</NoDataValue>", "<NoDataValue>-2</NoDataValue>", "<NoDataValue>-3</NoDataValue>"]
    path.write_text(parts[0] + "".join(f"{v}<ColorInterp>{p}" for v, p in zip(values[1:], parts[1:], strict=True)))
    np.testing.assert_array_equal(valid(open_scene(path)).all(axis=1), np.arange(40) >= 3)


@pytest.mark.parametrize("pieces", [1, 2])
def test_what_the_user_says_wins(tmp_path: Path, pieces: int) -> None:
    pixels = np.random.default_rng(2).integers(10, 120, (3, 40, 40)).astype("uint8")
    pixels[2] += 121
    pixels[:, :10] = 120
    pixels[:, 30:] = 0
    paths = [save(tmp_path / "a.tif", pixels, nodata=0)]
    if pieces == 2:
        east = Affine(0.5, 0, 270000 + 20, 0, -0.5, 2106000)
        paths.append(save(tmp_path / "b.tif", pixels, nodata=0, transform=east))
    rows = np.arange(40)
    for nodata, right in ((None, rows < 30), (120, rows >= 10), (0, rows < 30), ("none", rows >= 0)):
        found = valid(open_inputs(paths, nodata=nodata))
        assert found.shape == (40, 40 * pieces)
        np.testing.assert_array_equal(found, np.broadcast_to(right[:, None], found.shape))


def test_none_is_also_against_masks_and_alpha(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((3, 20, 20), 9, "uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(400).reshape(20, 20) < 100)
    assert valid(open_scene(path)).sum() == 100
    assert valid(open_scene(path, nodata=5)).sum() == 100
    assert valid(open_scene(path, nodata="none")).all()


def test_a_value_that_the_pixels_cannot_have_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((3, 20, 20), 9, "uint8"))
    for value in (300, -1, 0.5, "nan"):
        with pytest.raises(SettingsError, match=r"a\.tif has uint8 pixels, which cannot be"):
            open_scene(path, nodata=value)
    floats = save(tmp_path / "f.tif", reflectance())
    assert valid(open_scene(floats, nodata="nan")).all()
