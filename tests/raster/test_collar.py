"""Collars that a file does not tell of: the right answer is a twin file that does, or the shape that was drawn."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import gaussian_filter

from uvsam.raster import collar
from uvsam.raster.chips import SceneReader
from uvsam.raster.collar import find_collars, with_collars
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import IDENTITY, survey
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

GRID = Affine(0.5, 0, 270000, 0, -0.5, 2106000)


def save(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32643", "transform": GRID, "driver": "GTiff"} | profile
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=pixels.dtype, **place) as dataset:
        dataset.write(pixels)
    return path


def city(height: int, width: int, dtype: str = "uint8", seed: int = 3) -> np.ndarray:
    """Ground with structure, between an eighth and seven eighths of 8 or 11 bits."""
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(3, height, width)), (0, 1.5, 1.5))
    scaled = np.clip((rough / rough.std() + 3) / 6, 0.02, 0.98)
    return (scaled * (255 if dtype == "uint8" else 2047)).astype(dtype)


def valid(scene: Scene) -> np.ndarray:
    with SceneReader(scene, IDENTITY) as reader:
        return reader.read(Window(0, 0, *scene.shape)).valid


def turned(pixels: np.ndarray, degrees: float, fill: float) -> tuple[np.ndarray, np.ndarray]:
    """An image warped onto a grid at an angle, and where it shows nothing."""
    _, height, width = pixels.shape
    source = GRID * Affine.rotation(degrees)
    corners = np.array([source * (x, y) for x in (0, width) for y in (0, height)])
    left, top = corners[:, 0].min(), corners[:, 1].max()
    size = np.ceil((np.ptp(corners[:, 1]) / 0.5, np.ptp(corners[:, 0]) / 0.5)).astype(int)
    target = Affine(0.5, 0, left, 0, -0.5, top)
    result = np.zeros((3, *size), "float64")
    shown = np.zeros(size, "uint8")
    place = {"src_transform": source, "src_crs": "EPSG:32643", "dst_transform": target, "dst_crs": "EPSG:32643"}
    reproject(pixels.astype("float64"), result, resampling=Resampling.nearest, **place)
    reproject(np.ones((height, width), "uint8"), shown, resampling=Resampling.nearest, **place)
    result[:, shown == 0] = fill
    return result.astype(pixels.dtype), shown == 0


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 0), ("uint8", 255), ("uint16", 0), ("uint16", 65535), ("uint16", 4095), ("int16", -32768),
     ("int16", -9999), ("float32", -9999), ("float32", 0)],
)  # fmt: skip
@pytest.mark.parametrize("degrees", [4, 30, 1.5])
def test_a_warped_image_is_as_its_twin_with_the_tag(tmp_path: Path, dtype: str, value: float, degrees: float) -> None:
    pixels, outside = turned(city(700, 900, dtype) + np.array(1, dtype), degrees, value)
    scene = open_scene(save(tmp_path / "city.tif", pixels, tiled=True, blockxsize=256, blockysize=256))
    with pytest.warns(UserWarning, match=r"city\.tif: .* up to its edge.*--nodata none.*--nodata ") as told:
        found = with_collars(scene)
    assert len([one for one in told if one.category is UserWarning]) == 1
    np.testing.assert_array_equal(valid(found), ~outside)
    (known,) = found.validity.collars
    assert (known.value, known.share) == (value, pytest.approx(outside.mean(), abs=1e-9))
    twin = open_scene(save(tmp_path / "twin.tif", pixels, nodata=value))
    assert survey(found) == survey(twin)
    assert pickle.loads(pickle.dumps(found)) == found
    assert len(pickle.dumps(found)) < 5000


def test_black_and_white_around_one_another(tmp_path: Path) -> None:
    inner, outside = turned(city(600, 800) + np.uint8(1), 10, 255)
    pixels = np.zeros((3, inner.shape[1] + 80, inner.shape[2] + 60), "uint8")
    pixels[:, 40:-40, 30:-30] = inner
    right = np.zeros(pixels.shape[1:], bool)
    right[40:-40, 30:-30] = ~outside
    found = find_collars(open_scene(save(tmp_path / "city.tif", pixels)))
    assert {known.value for known in found.validity.collars} == {0, 255}
    np.testing.assert_array_equal(valid(found), right)
    with pytest.warns(UserWarning, match="--nodata none$"):  # one value would leave the other one in
        with_collars(open_scene(tmp_path / "city.tif"))


def test_black_roofs_and_white_ones_stay(tmp_path: Path) -> None:
    for value in (0, 255):
        pixels, outside = turned(city(900, 900), 20, value)
        roofs = np.zeros(outside.shape, bool)
        roofs[400:480, 500:590] = roofs[700:760, 400:420] = True
        pixels[:, roofs] = value
        found = find_collars(open_scene(save(tmp_path / f"{value}.tif", pixels)))
        np.testing.assert_array_equal(valid(found), ~outside)


def with_lake(pixels: np.ndarray) -> np.ndarray:
    rows, cols = np.mgrid[: pixels.shape[1], : pixels.shape[2]]
    water = (rows - 300) ** 2 + (cols - 20) ** 2 < 190**2
    noise = np.random.default_rng(4).integers(0, 4, pixels.shape).astype(pixels.dtype)
    return np.where(water, noise, pixels)


def with_saturated_roofs(pixels: np.ndarray) -> np.ndarray:
    bright = gaussian_filter(np.random.default_rng(4).normal(size=pixels.shape[1:]), 9)
    return np.where(bright > np.quantile(bright, 0.95), pixels.dtype.type(255), pixels)


def with_roofs_at_the_edge(pixels: np.ndarray) -> np.ndarray:
    pixels[:, 100:190, :80] = pixels[:, 300:400, -90:] = pixels[:, :70, 250:320] = 255
    return pixels


def with_frame(pixels: np.ndarray) -> np.ndarray:
    pixels[:, :2], pixels[:, :, -1] = 0, 0
    return pixels


@pytest.mark.parametrize("ground", [with_lake, with_saturated_roofs, with_roofs_at_the_edge, with_frame, np.copy])
def test_ground_at_the_edge_is_no_collar(tmp_path: Path, ground: Any) -> None:
    scene = open_scene(save(tmp_path / "city.tif", ground(city(600, 700))))
    assert find_collars(scene) == scene


def test_a_jpeg_is_ground_too(tmp_path: Path) -> None:
    lossy = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 256, "blockysize": 256}
    lake = open_scene(save(tmp_path / "lake.tif", with_lake(city(600, 700)), **lossy))
    assert find_collars(lake) == lake
    pixels, outside = turned(city(600, 800), 12, 0)
    found = find_collars(open_scene(save(tmp_path / "turned.tif", pixels, **lossy)))
    assert (valid(found) == outside).mean() < 0.03  # at the border of the collar, where the compression rings


def test_an_image_of_one_value_is_an_image(tmp_path: Path) -> None:
    scene = open_scene(save(tmp_path / "grey.tif", np.full((3, 300, 300), 9, "uint8")))
    assert find_collars(scene) == scene


def test_what_was_never_written_of_a_sparse_file(tmp_path: Path) -> None:
    pixels = city(768, 1024, "int16")
    pixels[:, 256:512, 256:512] = pixels[:, :256, 512:] = 0
    pixels[:, 600, 300:400] = 0  # written
    options = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True}
    rasterio.shutil.copy(save(tmp_path / "full.tif", pixels), tmp_path / "sparse.tif", **options)
    right = np.ones((768, 1024), bool)
    right[256:512, 256:512] = right[:256, 512:] = False
    np.testing.assert_array_equal(valid(find_collars(open_scene(tmp_path / "sparse.tif"))), right)


def test_the_user_knows_better(tmp_path: Path) -> None:
    pixels, outside = turned(city(500, 600), 15, 0)
    path = save(tmp_path / "city.tif", pixels)
    with pytest.warns(UserWarning, match="black"):
        np.testing.assert_array_equal(valid(open_inputs(path)), ~outside)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert valid(open_inputs(path, nodata="none")).all()
        np.testing.assert_array_equal(valid(open_inputs(path, nodata=0)), (pixels != 0).any(axis=0))


@settings(max_examples=15)
@given(st.integers(0, 630), st.integers(0, 630), st.integers(1, 200), st.integers(1, 200))
def test_a_pixel_is_of_the_collar_whatever_it_is_read_with(
    shared: Scene, row: int, col: int, height: int, width: int
) -> None:
    whole = valid(shared)
    window = Window(row, col, height, width).intersection(Window(0, 0, *shared.shape))
    with SceneReader(shared, IDENTITY) as reader:
        np.testing.assert_array_equal(reader.read(window).valid, whole[window.slices])
        np.testing.assert_array_equal(reader.read_valid(window), whole[window.slices])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    pixels, _ = turned(city(500, 600), 15, 0)
    return find_collars(open_scene(save(tmp_path_factory.mktemp("shared") / "city.tif", pixels)))


def test_regions_are_followed_from_piece_to_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collar that winds into the image, through pieces that it enters more than once."""
    pixels = city(640, 640)
    pixels[:, :, :100] = 0
    for turn in range(5):  # a comb whose teeth touch the collar, and a lane that goes back and forth
        pixels[:, 40 + 120 * turn : 60 + 120 * turn, 100:600] = 0
    pixels[:, 40:560, 580:600] = 0
    path = save(tmp_path / "city.tif", pixels)
    whole = find_collars(open_scene(path))
    monkeypatch.setattr(collar, "PIECE_PX", 64)
    assert find_collars(open_scene(path)) == whole
    np.testing.assert_array_equal(valid(whole), (pixels != 0).any(axis=0))


@pytest.mark.parametrize("pieces", [2, 6])
def test_a_mosaic_is_the_image_that_it_was_cut_from(tmp_path: Path, pieces: int) -> None:
    pixels, outside = turned(city(600, 800), 25, 0)
    paths = []
    for number, (rows, cols) in enumerate(
        (rows, cols)
        for rows in np.array_split(np.arange(pixels.shape[1]), 1 if pieces == 2 else 3)
        for cols in np.array_split(np.arange(pixels.shape[2]), 2)
    ):
        part = pixels[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        place = GRID * Affine.translation(int(cols[0]), int(rows[0]))
        paths.append(save(tmp_path / f"{number}.tif", part, transform=place))
    with pytest.warns(UserWarning, match=r"0\.tif and .* more: .*black"):
        np.testing.assert_array_equal(valid(open_inputs(paths)), ~outside)


def test_a_collar_does_not_hide_the_image_below(tmp_path: Path) -> None:
    below = city(500, 600, seed=1) | np.uint8(1)
    above, outside = turned(city(300, 300, seed=2) | np.uint8(1), 30, 0)
    one = save(tmp_path / "below.tif", below)
    two = save(tmp_path / "above.tif", above, transform=GRID * Affine.translation(50, 40))
    expected = below.copy()
    place = slice(40, 40 + above.shape[1]), slice(50, 50 + above.shape[2])
    expected[:, *place] = np.where(outside, below[:, *place], above)
    with pytest.warns(UserWarning, match=r"above\.tif: .*black"):
        scene = open_inputs([one, two])
    with SceneReader(scene, IDENTITY) as reader:
        chip = reader.read(Window(0, 0, *scene.shape))
    assert chip.valid.all()
    np.testing.assert_array_equal(chip.pixels, expected)


def test_a_remote_image_is_judged_by_its_overviews(tmp_path: Path, site: Any) -> None:
    pixels, outside = turned(city(1000, 1200), 12, 0)
    plain = save(tmp_path / "plain.tif", pixels, nodata=None)
    rasterio.shutil.copy(plain, tmp_path / "city.tif", driver="COG", blocksize=256, overview_resampling="nearest")
    found = find_collars(open_scene(f"{site.address}/city.tif"))
    assert (valid(found) == outside).mean() < 1e-3  # the last pixels of its tips
    (known,) = found.validity.collars
    assert known.share == pytest.approx(outside.mean(), abs=0.01)
    assert site.sent["city.tif"] < (tmp_path / "city.tif").stat().st_size * 2  # of this, all is looked at by valid()
