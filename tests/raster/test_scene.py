"""Opening images: what is read from a header, and what is refused in one line."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from uvsam.errors import GeoreferencingError, SceneError, SettingsError
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import IDENTITY, estimate_stretch
from uvsam.raster.scene import check_resolution, model_scale, open_scene
from uvsam.raster.window import Window

UTM = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000)}


def write(
    path: Path, pixels: np.ndarray, *, colours: str = "", tags: dict[str, str] | None = None, **profile: Any
) -> Path:
    settings = UTM | {"driver": "GTiff"} | profile
    count, height, width = pixels.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=pixels.dtype, **settings) as dataset:
        dataset.write(pixels)
        if colours:
            names = {"r": "red", "g": "green", "b": "blue", "a": "alpha", "x": "undefined", "y": "gray"}
            dataset.colorinterp = [ColorInterp[names[letter]] for letter in colours]
        dataset.update_tags(**(tags or {}))
    return path


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(1).integers(1, 250, shape).astype(dtype)


def first_pixel(scene: Any) -> list[float]:
    with SceneReader(scene, IDENTITY) as reader:
        return list(reader.read(Window(0, 0, 1, 1)).pixels[:, 0, 0])


@pytest.mark.parametrize(
    ("colours", "expected"),
    [("rgb", (1, 2, 3)), ("bgr", (3, 2, 1)), ("yxxx", (1, 2, 3)), ("argb", (2, 3, 4)), ("xbgrx", (4, 3, 2))],
)
def test_bands_follow_their_colours(tmp_path: Path, colours: str, expected: tuple[int, int, int]) -> None:
    pixels = noise(len(colours), 8, 9)
    path = write(tmp_path / "city.tif", pixels, colours=colours)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scene = open_scene(path)
    assert scene.bands == expected
    warned = any("does not say which are red" in str(warning.message) for warning in told)
    assert warned == (colours == "yxxx")
    assert first_pixel(scene) == [pixels[band - 1, 0, 0] for band in expected]


def test_bands_follow_their_names_where_they_have_no_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "city.tif", noise(5, 8, 9), colours="yxxxx")
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("coastal", "Blue", "GREEN", "nir", " red ")
    assert open_scene(path).bands == (5, 3, 2)


def test_bands_of_the_user_win(tmp_path: Path) -> None:
    pixels = noise(4, 8, 9)
    scene = open_scene(write(tmp_path / "city.tif", pixels, colours="rgbx"), bands=(4, 3, 2))
    assert scene.bands == (4, 3, 2)
    assert first_pixel(scene) == list(pixels[[3, 2, 1], 0, 0])


@pytest.mark.parametrize(("count", "words"), [(1, "has 1 band;"), (2, "has 2 bands;")])
def test_too_few_bands(tmp_path: Path, count: int, words: str) -> None:
    path = write(tmp_path / "city.tif", noise(count, 8, 8))
    with pytest.raises(SceneError, match=words):
        open_scene(path)


def test_a_band_that_does_not_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "city.tif", noise(3, 8, 8))
    with pytest.raises(SceneError, match="no band 5: it has bands 1 to 3"):
        open_scene(path, bands=(5, 2, 1))


def test_a_palette_image_says_how_to_expand_it(tmp_path: Path) -> None:
    path = tmp_path / "city.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=8, width=8, dtype="uint8", **UTM) as dataset:
        dataset.write(noise(1, 8, 8))
        dataset.write_colormap(1, {index: (index, 0, 0, 255) for index in range(256)})
    with pytest.raises(SceneError, match="expand=rgb"):
        open_scene(path)


def test_files_that_are_no_image(tmp_path: Path) -> None:
    text, empty = tmp_path / "notes.tif", tmp_path / "empty.tif"
    text.write_text("not a raster\n" * 100)
    empty.touch()
    for path in (text, empty, tmp_path / "nowhere.tif", tmp_path):
        with pytest.raises(SceneError, match=path.name) as caught:
            open_scene(path)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}, {"interleave": "band"}])
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_truncated_file_is_refused_at_once(tmp_path: Path, layout: dict[str, Any], compress: str) -> None:
    whole = write(tmp_path / "whole.tif", noise(3, 256, 256), compress=compress, **layout)
    path = tmp_path / "cut.tif"
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    with pytest.raises(SceneError, match=r"cut\.tif"):
        open_scene(path)


def test_a_vrt_whose_source_is_gone_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "source.tif", noise(3, 64, 64))
    rasterio.shutil.copy(source, tmp_path / "city.vrt", driver="VRT")
    source.unlink()
    with pytest.raises(SceneError, match=r"source\.tif"):  # noqa: PT012  which of the two finds out is GDAL's choice
        scene = open_scene(tmp_path / "city.vrt")
        with SceneReader(scene, IDENTITY) as reader:
            reader.read(Window(0, 0, 64, 64))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("driver", "name"), [("JPEG", "city.jpg"), ("PNG", "city.png"), ("JP2OpenJPEG", "city.jp2")])
def test_truncated_files_of_other_formats_are_an_error_when_read(tmp_path: Path, driver: str, name: str) -> None:
    whole, path = write(tmp_path / "whole.tif", noise(3, 300, 300)), tmp_path / name
    rasterio.shutil.copy(whole, path, driver=driver)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError, match=name):
        estimate_stretch(open_scene(path, allow_ungeoreferenced=True))


def test_damaged_blocks_are_an_error_when_read_never_black(tmp_path: Path) -> None:
    path = write(
        tmp_path / "city.tif", noise(3, 256, 256), compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    with SceneReader(open_scene(path), IDENTITY) as reader, pytest.raises(SceneError, match=r"city\.tif"):
        reader.read(Window(0, 0, 256, 256))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_images_without_a_position(tmp_path: Path) -> None:
    pixels = noise(3, 20, 30)
    bare = write(tmp_path / "bare.tif", pixels, crs=None, transform=Affine.identity())
    no_crs = write(tmp_path / "no_crs.tif", pixels, crs=None)
    points = [GroundControlPoint(r, c, 10 + c / 1e5, 50 - r / 1e5) for r, c in ((0, 0), (0, 30), (20, 0), (20, 30))]
    gcps = write(tmp_path / "gcps.tif", pixels, crs="EPSG:4326", transform=Affine.identity(), gcps=points)
    for path, words in ((bare, "no georeferencing"), (no_crs, "-a_srs"), (gcps, "gdalwarp")):
        with pytest.raises(GeoreferencingError, match=words):
            open_scene(path)
    for path in (bare, no_crs, gcps):
        with pytest.raises(GeoreferencingError, match="say it with --gsd METRES"):
            open_scene(path, allow_ungeoreferenced=True)
    scene = open_scene(bare, allow_ungeoreferenced=True, gsd_m=0.6)
    assert scene.gsd_m == pytest.approx((0.6, 0.6))
    assert scene.geobox.crs is None
    assert scene.geobox.extent.boundingbox.range_x == pytest.approx((0, 18))  # metres, as areas need
    assert scene.geobox.extent.boundingbox.range_y == pytest.approx((-12, 0))
    placed = open_scene(no_crs, allow_ungeoreferenced=True, gsd_m=0.5)
    assert placed.gsd_m == pytest.approx((0.5, 0.5))
    assert placed.geobox.affine == UTM["transform"]  # which is in metres, as its pixels are said to be of 0.5 m
    of_feet = open_scene(no_crs, allow_ungeoreferenced=True, gsd_m=0.1524)
    assert of_feet.geobox.affine == Affine.scale(0.1524, -0.1524)


def test_rpc_only_says_how_to_orthorectify(tmp_path: Path) -> None:
    path = tmp_path / "rpc.tif"
    numbers = dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), "0")
    numbers |= dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), "1")
    numbers |= {f"{name}_COEFF": " ".join(["1"] * 20) for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")}
    with rasterio.open(path, "w", driver="GTiff", count=3, height=8, width=8, dtype="uint8") as dataset:
        dataset.write(noise(3, 8, 8))
        dataset.update_tags(ns="RPC", **numbers)
    with pytest.raises(GeoreferencingError, match="RPC_DEM"):
        open_scene(path)


def test_gsd_of_a_georeferenced_image_is_not_for_the_user_to_say(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="georeferenced"):
        open_scene(write(tmp_path / "city.tif", noise(3, 8, 8)), gsd_m=0.3)


def test_scene_survives_pickling(tmp_path: Path) -> None:
    scene = open_scene(write(tmp_path / "city.tif", noise(3, 8, 8), nodata=7))
    again = pickle.loads(pickle.dumps(scene))
    assert again == scene
    assert again.geobox.affine == UTM["transform"]
    assert again.nodata == 7


@pytest.mark.parametrize("driver", ["VRT", "COG", "JP2OpenJPEG", "PNG"])
def test_other_formats_read_the_same_pixels(tmp_path: Path, driver: str) -> None:
    pixels = noise(3, 64, 64)
    source = write(tmp_path / "city.tif", pixels, colours="rgb", photometric="rgb")
    lossless = {"JP2OpenJPEG": {"QUALITY": "100", "REVERSIBLE": "YES"}, "PNG": {"WORLDFILE": "YES"}}
    path = tmp_path / {"VRT": "c.vrt", "COG": "c.tif", "JP2OpenJPEG": "c.jp2", "PNG": "c.png"}[driver]
    rasterio.shutil.copy(source, path, driver=driver, **lossless.get(driver, {}))
    scene = open_scene(path)
    assert scene.geobox == open_scene(source).geobox
    with SceneReader(scene, IDENTITY) as reader:
        np.testing.assert_array_equal(reader.read(Window(0, 0, 64, 64)).pixels, pixels)


def test_remote_files(tmp_path: Path, server: str) -> None:
    pixels = noise(3, 300, 200)
    write(tmp_path / "city.tif", pixels)
    scene = open_scene(f"{server}/city.tif")
    assert scene.shape == (300, 200)
    with SceneReader(scene, IDENTITY) as reader:
        np.testing.assert_array_equal(reader.read(Window(0, 0, 300, 200)).pixels, pixels)
    with pytest.raises(SceneError, match=r"nowhere\.tif"):
        open_scene(f"{server}/nowhere.tif")


def test_too_coarse_an_image_is_refused(tmp_path: Path) -> None:
    scene = open_scene(write(tmp_path / "city.tif", noise(3, 8, 8)))  # 0.5 m
    check_resolution(scene, 0.126)
    with pytest.raises(GeoreferencingError, match=r"has 0\.5 m pixels"):
        check_resolution(scene, 0.124)


def test_nearly_equal_resolutions_are_not_resampled(tmp_path: Path) -> None:
    scene = open_scene(write(tmp_path / "city.tif", noise(3, 8, 8)))
    assert model_scale(scene, 0.52) == (1.0, 1.0)
    assert model_scale(scene, 1.0) == pytest.approx((2.0, 2.0), rel=1e-3)
