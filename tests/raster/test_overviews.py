"""Overviews that lie decide nothing, and are spoken of; those that any resampling makes do not."""

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import Resampling
from scipy.ndimage import gaussian_filter

from uvsam.cli.main import run
from uvsam.raster import radiometry
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import Survey, survey
from uvsam.raster.scene import open_scene

SIZE = 900, 1100


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radiometry, "SAMPLE_PX", 50_000)


def ground(dtype: str = "uint16", seed: int = 1, gain: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = sum(gaussian_filter(rng.normal(size=(3, *SIZE)), (0, s, s)) * s for s in (1, 6, 40))
    scaled = np.clip(rough / rough.std() * 60 + 500, 1, 2000) * gain
    return (scaled / 8 if dtype == "uint8" else scaled).clip(0, 255 if dtype == "uint8" else 65535).astype(dtype)


def save(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000), "driver": "GTiff"} | profile
    with rasterio.open(
        path, "w", count=count, height=height, width=width, dtype=pixels.dtype, tiled=True, **place
    ) as dataset:
        dataset.write(pixels)
    return path


def with_overviews_of(path: Path, pixels: np.ndarray, shown: np.ndarray, *, external: bool = False, **env: Any) -> Path:
    """An image whose overviews are those of another one: the way of a file that was written to again."""
    save(path, shown)
    with rasterio.Env(TIFF_USE_OVR=external, **env), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.average)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(pixels)
    return path


def looked(path: Path) -> tuple[Survey, list[str]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = survey(open_scene(path))
    return found, [str(one.message) for one in told if one.category is UserWarning]


SHOWN = {
    "black": lambda: np.zeros_like(ground()),
    "another stretch": lambda: ground(gain=1.3),
    "8 bits": lambda: ground("uint8").astype("uint16"),
    "another place": lambda: ground(seed=2),
    "a black quarter": lambda: np.where(np.arange(SIZE[1]) < 300, 0, ground()).astype("uint16"),
}


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("external", [False, True])
def test_overviews_that_lie_are_as_none(tmp_path: Path, kind: str, external: bool) -> None:
    pixels = ground()
    found, told = looked(with_overviews_of(tmp_path / "city.tif", pixels, SHOWN[kind](), external=external))
    right, silent = looked(save(tmp_path / "twin.tif", pixels))
    assert (found.stretch, found.valid_share) == (right.stretch, right.valid_share)
    assert (found.overviews_agree, right.overviews_agree) == (False, True)
    assert len(told) == 1
    assert "gdaladdo -clean" in told[0]
    assert not silent


@pytest.mark.parametrize("way", ["nearest", "average", "bilinear", "cubic", "gauss", "mode", "rms", "lanczos"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_overviews_of_the_pixels_are_believed(tmp_path: Path, way: str, dtype: str) -> None:
    noise = np.random.default_rng(3).integers(1, 250, (3, *SIZE)).astype(dtype)
    for number, pixels in enumerate([ground(dtype), noise][: 1 if way == "rms" else 2]):  # of noise it is another mean
        path = save(tmp_path / f"{number}.tif", pixels)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8, 16], Resampling[way])
        found, told = looked(path)
        assert found.overviews_agree
        assert not told


def test_lossy_overviews_are_believed(tmp_path: Path) -> None:
    path = save(tmp_path / "city.tif", ground("uint8"))
    with rasterio.Env(COMPRESS_OVERVIEW="JPEG", PHOTOMETRIC_OVERVIEW="YCBCR", INTERLEAVE_OVERVIEW="PIXEL"):  # noqa: SIM117
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], Resampling.average)
    assert looked(path) == (looked(path)[0], [])
    assert looked(path)[0].overviews_agree


def test_a_mosaic_knows_it_of_its_files(tmp_path: Path) -> None:
    pixels = ground()
    paths = [with_overviews_of(tmp_path / "a.tif", pixels, np.zeros_like(pixels))]
    paths.append(save(tmp_path / "b.tif", pixels, transform=Affine(0.5, 0, 270000 + 550, 0, -0.5, 2106000)))
    with pytest.warns(UserWarning, match="overviews"):
        found = survey(open_inputs(paths))
    low, high = np.percentile(pixels.reshape(3, -1), [2, 98], axis=1)
    assert found.stretch.low == pytest.approx(low, rel=0.05)
    assert found.stretch.high == pytest.approx(high, rel=0.05)


def test_info_says_it_and_the_remedy_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = with_overviews_of(tmp_path / "my city.tif", ground(), np.zeros((3, *SIZE), "uint16"))
    with pytest.warns(UserWarning, match="gdaladdo") as told:
        assert run(["info", str(path)]) == 0
    assert "2, 4, 8, which show something else than the pixels" in capsys.readouterr().out
    (line,) = {str(one.message) for one in told if "gdaladdo" in str(one.message)}
    if shutil.which("gdaladdo"):
        subprocess.run(line.partition("again: ")[2], shell=True, check=True, capture_output=True)
        assert looked(path)[1] == []
