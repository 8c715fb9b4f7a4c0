"""One stretch for a whole scene."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uvsam.errors import SceneError
from uvsam.raster import radiometry
from uvsam.raster.radiometry import IDENTITY, Stretch, estimate_stretch, survey
from uvsam.raster.scene import open_scene


def write(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    count, height, width = pixels.shape
    profile = {"crs": "EPSG:32643", "transform": Affine(1, 0, 270000, 0, -1, 2106000)} | profile
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as dataset:
        dataset.write(pixels)
    return path


def values(*shape: int, dtype: str) -> np.ndarray:
    gamma = np.random.default_rng(3).gamma(4, 300, shape)
    return (gamma / 1e4 if dtype.startswith("float") else gamma).astype(dtype)


def test_uint8_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 120, (3, 50, 60), dtype=np.uint8)
    assert estimate_stretch(open_scene(write(tmp_path / "a.tif", pixels))) == IDENTITY
    np.testing.assert_array_equal(IDENTITY.apply(pixels), pixels)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "uint32"])
def test_percentiles_ignore_nodata(tmp_path: Path, dtype: str) -> None:
    pixels = values(3, 400, 300, dtype=dtype) + 1
    nodata = 0 if dtype.startswith("u") else -9999
    pixels[:, :, 250:] = nodata
    survey_ = survey(open_scene(write(tmp_path / "a.tif", pixels, nodata=nodata)))
    low, high = np.percentile(pixels[:, :, :250].reshape(3, -1).astype(float), [2, 98], axis=1)
    assert survey_.stretch.low == pytest.approx(low)
    assert survey_.stretch.high == pytest.approx(high)
    assert survey_.valid_share == pytest.approx(5 / 6)


def test_stretch_of_a_large_scene_comes_from_small_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lattice nor the overviews may bias the percentiles."""
    monkeypatch.setattr(radiometry, "SAMPLE_PX", 100_000)
    monkeypatch.setattr(radiometry, "OVERVIEW_PX", 200_000)
    pixels = values(3, 1500, 1400, dtype="uint16")
    plain = write(tmp_path / "plain.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    small = write(tmp_path / "overviews.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    with rasterio.open(small, "r+") as dataset:
        dataset.build_overviews([2, 4])
    low, high = np.percentile(pixels.reshape(3, -1), [2, 98], axis=1)
    for path in (plain, small):
        stretch = estimate_stretch(open_scene(path))
        assert stretch.low == pytest.approx(low, rel=0.05)
        assert stretch.high == pytest.approx(high, rel=0.05)
        assert stretch == estimate_stretch(open_scene(path))


def test_few_valid_pixels_far_from_every_sample_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radiometry, "OVERVIEW_PX", 100_000)
    pixels = np.zeros((3, 2000, 2100), dtype=np.uint16)
    pixels[:, :20, :20] = values(3, 20, 20, dtype="uint16") + 1
    stretch = estimate_stretch(open_scene(write(tmp_path / "a.tif", pixels, nodata=0)))
    assert stretch.high == pytest.approx(np.percentile(pixels[:, :20, :20].reshape(3, -1), 98, axis=1))


@pytest.mark.parametrize(
    ("dtype", "fill", "nodata"), [("uint8", 0, 0), ("uint16", 7, 7), ("float32", np.nan, None), ("float32", np.inf, 0)]
)
def test_an_empty_raster_is_an_error(tmp_path: Path, dtype: str, fill: float, nodata: float | None) -> None:
    scene = open_scene(write(tmp_path / "empty.tif", np.full((3, 64, 64), fill, dtype=dtype), nodata=nodata))
    with pytest.raises(SceneError, match=r"empty\.tif is empty"):
        estimate_stretch(scene)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_a_constant_band_does_not_break(tmp_path: Path, dtype: str) -> None:
    pixels = values(3, 64, 64, dtype=dtype)
    pixels[1] = 5
    stretch = estimate_stretch(open_scene(write(tmp_path / "a.tif", pixels)))
    stretched = stretch.apply(pixels)
    assert np.isfinite(stretched).all()
    assert np.ptp(stretched[0]) == 255


@settings(deadline=None)
@given(
    arrays(
        np.float32, (3, 4, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(np.nan) | st.just(np.inf)
    ),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_stretched_pixels_are_finite_in_0_255_and_keep_their_order(pixels: np.ndarray, low: float, span: float) -> None:
    stretched = Stretch((low,) * 3, (low + span,) * 3).apply(pixels)
    assert stretched.dtype == np.float32
    assert ((stretched >= 0) & (stretched <= 255)).all()
    order = np.argsort(pixels[0], axis=None)
    finite = order[np.isfinite(pixels[0].flat[order])]
    assert (np.diff(stretched[0].flat[finite]) >= 0).all()
