"""Reading chips: validity, position, and resampling to the model's grid."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp

from uvsam.raster import chips
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import IDENTITY, estimate_stretch
from uvsam.raster.scene import open_scene
from uvsam.raster.window import Window

HEIGHT, WIDTH = 70, 90
NORTH_UP = Affine(0.5, 0, 270000, 0, -0.5, 2106000)


def write(path: Path, pixels: np.ndarray, mask: np.ndarray | None = None, alpha: bool = False, **profile: Any) -> Path:
    count, height, width = pixels.shape
    profile = {"crs": "EPSG:32643", "transform": NORTH_UP} | profile
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
        ) as dataset,
    ):
        dataset.write(pixels)
        if alpha:
            dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        if mask is not None:
            dataset.write_mask(mask)
    return path


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(1).integers(1, 250, shape).astype(dtype)


@contextmanager
def reader_of(path: Path) -> Iterator[SceneReader]:
    scene = open_scene(path)
    with SceneReader(scene, estimate_stretch(scene)) as reader:
        yield reader


def valid_of(path: Path) -> np.ndarray:
    with reader_of(path) as reader:
        chip = reader.read(Window(0, 0, *reader.scene.shape))
    assert not chip.pixels[:, ~chip.valid].any()
    return chip.valid


HOLE = np.zeros((20, 30), dtype=bool)
HOLE[5:9, 3:12] = True


def test_alpha_mask_and_nan_are_invalid(tmp_path: Path) -> None:
    pixels = noise(3, 20, 30)
    alpha = np.where(HOLE, 0, 255).astype(np.uint8)
    with_nan = pixels.astype(np.float32)
    with_nan[1, HOLE] = np.nan
    infinite = pixels.astype(np.float64)
    infinite[2, HOLE] = -np.inf
    for path in (
        write(tmp_path / "alpha.tif", np.concatenate([pixels, alpha[None]]), alpha=True),
        write(tmp_path / "alpha_and_nodata.tif", np.concatenate([pixels, alpha[None]]), alpha=True, nodata=0),
        write(tmp_path / "mask.tif", pixels, mask=~HOLE),
        write(tmp_path / "nan.tif", with_nan),
        write(tmp_path / "nan_is_nodata.tif", with_nan, nodata=np.nan),
        write(tmp_path / "infinite.tif", infinite),
    ):
        np.testing.assert_array_equal(valid_of(path), ~HOLE, err_msg=path.name)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("uint16", 0), ("float32", 0)])
def test_black_in_one_band_is_a_dark_roof_not_nodata(tmp_path: Path, dtype: str, nodata: int) -> None:
    pixels = noise(3, 20, 30, dtype=dtype)
    pixels[:, HOLE] = nodata
    pixels[0, 15:] = nodata
    np.testing.assert_array_equal(valid_of(write(tmp_path / "a.tif", pixels, nodata=nodata)), ~HOLE)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_a_nodata_value_no_pixel_can_have_counts_in_any_band(tmp_path: Path, dtype: str) -> None:
    pixels = noise(3, 20, 30, dtype=dtype)
    pixels[2, HOLE] = -9999
    np.testing.assert_array_equal(valid_of(write(tmp_path / "a.tif", pixels, nodata=-9999)), ~HOLE)


@pytest.mark.parametrize(
    "transform",
    [
        NORTH_UP,
        Affine(0.5, 0, 270000, 0, 0.5, 2106000),
        Affine(0.6, 0, 270000, 0, -0.3, 2106000),
        Affine.translation(270000, 2106000) * Affine.rotation(30) * Affine.scale(0.5, -0.5),
    ],
    ids=["north-up", "south-up", "oblong", "rotated"],
)
def test_chips_lie_where_their_pixels_lie(tmp_path: Path, transform: Affine) -> None:
    path = write(tmp_path / "a.tif", noise(3, 20, 30), transform=transform)
    with reader_of(path) as reader:
        plain = reader.read(Window(4, -2, 8, 10))
        coarse = reader.read_resampled(Window(2, 1, 3, 4), (2.5, 1.5))
    assert plain.geobox.affine * (0, 0) == pytest.approx(transform * (-2, 4))
    assert plain.geobox.affine * (10, 8) == pytest.approx(transform * (8, 12))
    assert coarse.geobox.affine * (0, 0) == pytest.approx(transform * (2.5, 3))
    assert coarse.geobox.affine * (4, 3) == pytest.approx(transform * (12.5, 7.5))


def test_outside_is_invalid_and_black(tmp_path: Path) -> None:
    pixels = noise(3, 20, 30)
    with reader_of(write(tmp_path / "a.tif", pixels)) as reader:
        chip = reader.read(Window(-3, 25, 10, 9))
        far = reader.read(Window(100, 100, 4, 5))
        far_coarse = reader.read_resampled(Window(100, -100, 4, 5), (1.5, 1.5))
    np.testing.assert_array_equal(chip.pixels[:, 3:, :5], pixels[:, :7, 25:])
    expected = np.zeros((10, 9), dtype=bool)
    expected[3:, :5] = True
    np.testing.assert_array_equal(chip.valid, expected)
    assert not chip.pixels[:, ~expected].any()
    assert far.pixels.shape == far_coarse.pixels.shape == (3, 4, 5)
    assert not far.valid.any()
    assert not far_coarse.valid.any()


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneReader]:
    pixels = noise(3, HEIGHT, WIDTH)
    mask = np.random.default_rng(5).random((HEIGHT, WIDTH)) > 0.2
    mask[30:50, 40:60] = False
    with reader_of(write(tmp_path_factory.mktemp("chips") / "a.tif", pixels, mask=mask)) as reader:
        yield reader


scales = st.tuples(st.floats(0.25, 6), st.floats(0.25, 6))
windows = st.builds(Window, st.integers(-20, 60), st.integers(-20, 60), st.integers(1, 60), st.integers(1, 60))


@settings(deadline=None)
@given(scale_xy=scales, one=windows, other=windows)
def test_a_pixel_does_not_depend_on_the_window(
    holed: SceneReader, scale_xy: tuple[float, float], one: Window, other: Window
) -> None:
    common = one.intersection(other)
    assume(common.height and common.width)
    parts = []
    for window in (one, other):
        chip = holed.read_resampled(window, scale_xy)
        assert chip.pixels.shape == (3, *window.shape)
        rows, cols = common.within(window).slices
        parts.append((chip.pixels[:, rows, cols], chip.valid[rows, cols]))
    np.testing.assert_array_equal(parts[0][0], parts[1][0])
    np.testing.assert_array_equal(parts[0][1], parts[1][1])


@settings(deadline=None)
@given(scale_xy=scales, window=windows, moved=st.integers(-70, 70), grown=st.integers(-1, 1))
def test_what_was_read_before_changes_nothing(
    holed: SceneReader, scale_xy: tuple[float, float], window: Window, moved: int, grown: int
) -> None:
    other = window._replace(col=window.col + moved, height=window.height + grown)
    assume(other.height)
    holed.read_resampled(window, scale_xy)
    after = holed.read_resampled(other, scale_xy)
    with SceneReader(holed.scene, holed.stretch) as fresh:
        alone = fresh.read_resampled(other, scale_xy)
    np.testing.assert_array_equal(after.pixels, alone.pixels)
    np.testing.assert_array_equal(after.valid, alone.valid)


@settings(deadline=None)
@given(window=windows)
def test_scale_1_is_a_plain_read(holed: SceneReader, window: Window) -> None:
    plain, resampled = holed.read(window), holed.read_resampled(window, (1.0, 1.0))
    np.testing.assert_array_equal(plain.pixels, resampled.pixels)
    np.testing.assert_array_equal(plain.valid, resampled.valid)


def test_reading_in_strips_changes_nothing(holed: SceneReader, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = holed.read_resampled(Window(-2, -2, 30, 40), (2.3, 2.7))
    monkeypatch.setattr(chips, "STRIP_PX", 500)
    with SceneReader(holed.scene, holed.stretch) as again:
        strips = again.read_resampled(Window(-2, -2, 30, 40), (2.3, 2.7))
    np.testing.assert_array_equal(whole.pixels, strips.pixels)
    np.testing.assert_array_equal(whole.valid, strips.valid)


@settings(deadline=None, max_examples=40)
@given(scale_xy=scales, window=windows, value=st.integers(0, 255), seed=st.integers(0, 1000))
def test_constant_in_constant_out(
    tmp_path_factory: pytest.TempPathFactory, scale_xy: tuple[float, float], window: Window, value: int, seed: int
) -> None:
    """Whatever is invalid, what is valid has the constant's value: nothing invalid and no border leaks in."""
    mask = np.random.default_rng(seed).random((HEIGHT, WIDTH)) > 0.3
    path = tmp_path_factory.mktemp("constant") / "a.tif"
    write(path, np.full((3, HEIGHT, WIDTH), value, dtype=np.uint8), mask=mask)
    with SceneReader(open_scene(path), IDENTITY) as reader:
        chip = reader.read_resampled(window, scale_xy)
    np.testing.assert_allclose(chip.pixels[:, chip.valid], value, rtol=1e-5)
    assert not chip.pixels[:, ~chip.valid].any()


@pytest.mark.parametrize("scale", [0.4, 1.5, 2.0, 3.7, 12.0])
def test_resampling_agrees_with_pillow(tmp_path: Path, scale: float) -> None:
    """Pillow's bilinear resize with antialiasing is the same filter; it rounds to 1/256 inside."""
    size = 240
    yy, xx = np.mgrid[:size, :size]
    smooth = 120 + 60 * np.sin(xx / 9) * np.cos(yy / 7) + np.random.default_rng(0).normal(0, 20, (3, size, size))
    pixels = smooth.clip(0, 255).astype(np.uint8)
    count = round(size / scale)
    with reader_of(write(tmp_path / "a.tif", pixels)) as reader:
        chip = reader.read_resampled(Window(0, 0, count, count), (size / count, size / count))
    image = Image.fromarray(pixels[1].astype(np.float32)).resize((count, count), Image.Resampling.BILINEAR)
    assert chip.valid.all()
    np.testing.assert_allclose(chip.pixels[1], np.asarray(image), atol=0.02)


def test_majority_decides_what_is_valid(tmp_path: Path) -> None:
    pixels = noise(3, 40, 40)
    mask = np.ones((40, 40), dtype=bool)
    mask[:, :21] = False
    with reader_of(write(tmp_path / "a.tif", pixels, mask=mask)) as reader:
        chip = reader.read_resampled(Window(0, 0, 10, 10), (4.0, 4.0))
    assert not chip.valid[:, :5].any()
    assert chip.valid[:, 5:].all()
