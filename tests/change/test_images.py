"""The shift between two images is found from what they show."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import CRS
from scipy import ndimage

from uvsam.change.images import estimate_image_shift

UTM = CRS.from_epsg(32643)
NAIP = Path(__file__).parents[3] / "shared/data/rasters/naip_nd_timeseries"
GSD_M = 2.0


def town(seed: int) -> np.ndarray:
    """Blocks of roofs, 1600 x 1600 pixels."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.uniform(0, 1, (100, 100)), np.ones((16, 16)))
    return ndimage.gaussian_filter(blocks + 0.1 * rng.standard_normal(blocks.shape), 1.0)


def write(path: Path, picture: np.ndarray, east: float, north: float, alpha: bool = False) -> Path:
    pixels = (255 * np.clip(picture, 0, 1)).astype(np.uint8)
    bands = [pixels] * 3 + ([np.where(picture > -1, 255, 0).astype(np.uint8)] if alpha else [])
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), dtype="uint8", crs="EPSG:32643", width=pixels.shape[1],
        height=pixels.shape[0], transform=rasterio.Affine(GSD_M, 0, 2.7e5 + east, 0, -GSD_M, 2.1e6 + north),
        photometric="RGB", **({"alpha": "yes"} if alpha else {}),
    ) as dataset:  # fmt: skip
        dataset.write(np.stack(bands))
    return path


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.3, -1.7), (-21.0, 40.0)])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_shift_is_found_through_another_season_and_new_houses(
    tmp_path: Path, shift: tuple[float, float], alpha: bool
) -> None:
    then, rng = town(1), np.random.default_rng(2)
    now = 1 - 0.6 * then**2 + 0.02 * rng.standard_normal(then.shape)  # brightness the other way round
    now[300:700, 300:700] = town(3)[:400, :400]
    found = estimate_image_shift(
        write(tmp_path / "then.tif", then, 0, 0), write(tmp_path / "now.tif", now, *shift, alpha), UTM
    )
    assert found.is_known
    assert found.told_from == "windows of the images"
    assert (found.east_m, found.north_m) == pytest.approx(shift, abs=0.15 * GSD_M)


def test_ground_that_one_image_does_not_show_says_nothing(tmp_path: Path) -> None:
    then, now = town(1), town(1)
    now[:, :1000] = -2  # no data
    first = write(tmp_path / "then.tif", then, 0, 0)
    found = estimate_image_shift(first, write(tmp_path / "now.tif", now, 6.0, 0, alpha=True), UTM)
    assert found.east_m == pytest.approx(6, abs=0.3)
    assert found.count <= 14


@pytest.mark.parametrize("other", ["elsewhere", "small", "unlike"])
def test_images_with_nothing_in_common_tell_no_shift(tmp_path: Path, other: str) -> None:
    first = write(tmp_path / "then.tif", town(1), 0, 0)
    picture, east = {
        "elsewhere": (town(1), 1e5), "small": (town(1)[:200, :200], 0), "unlike": (town(5), 0),
    }[other]  # fmt: skip
    assert not estimate_image_shift(first, write(tmp_path / "now.tif", picture, east, 0), UTM).is_known


@pytest.mark.skipif(not NAIP.is_dir(), reason="the NAIP stack is not here")
def test_years_of_aerial_images_are_told_apart_by_a_known_shift(tmp_path: Path) -> None:
    """Real images, one year and seven years apart, 5 m per pixel; the later one is moved by a known way."""
    crs = CRS.from_epsg(26914)
    for before, after in (("20160816", "20170827"), ("20090818", "20160816")):
        then, now = (next(NAIP.glob(f"*_{day}.tif")) for day in (before, after))
        as_it_lies = estimate_image_shift(then, now, crs)
        assert as_it_lies.is_known
        assert np.hypot(as_it_lies.east_m, as_it_lies.north_m) < 5
        with rasterio.open(now) as dataset:
            pixels, profile = dataset.read(), dataset.profile
            profile["transform"] = rasterio.Affine.translation(17.3, -24.1) * dataset.transform
        with rasterio.open(tmp_path / "moved.tif", "w", **profile) as dataset:
            dataset.write(pixels)
        moved = estimate_image_shift(then, tmp_path / "moved.tif", crs)
        allowed = 4 * np.hypot(moved.error_m, as_it_lies.error_m)
        assert (moved.east_m - as_it_lies.east_m, moved.north_m - as_it_lies.north_m) == pytest.approx(
            (17.3, -24.1), abs=allowed
        )
