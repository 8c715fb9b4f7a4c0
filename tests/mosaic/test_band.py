"""Areas at a lower and a higher threshold."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import expit, logit

from uvsam.mosaic import regions as regions_module
from uvsam.mosaic.band import BAND, band_of
from uvsam.mosaic.regions import RegionRules, find_regions
from uvsam.mosaic.scores import lowest_level, quantise


def write(path: Path, values: np.ndarray) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=values.shape[0], width=values.shape[1], nodata=0,
        transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path


def cones(*places: tuple[int, int, float]) -> np.ndarray:
    """Scores that fall by one unit of log-odds every 10 pixels from (row, column), where they are as given."""
    y, x = np.mgrid[:300, :400]
    odds = np.max([top - np.hypot(y - row, x - col) / 10 for row, col, top in places], axis=0)
    return quantise(expit(odds).astype(np.float32), np.ones(odds.shape, bool))


def test_a_band_is_what_the_other_thresholds_would_take(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.tif", cones((100, 100, 4.0), (200, 300, 2.0)))
    regions = find_regions(path, RegionRules(0.5, 0.6), (1, 1))
    band = band_of(regions)
    radii = np.array([40.0, 20.0])
    assert regions.pixels == pytest.approx(np.pi * radii**2, rel=0.02)
    assert band.loses == pytest.approx(np.pi * (radii**2 - (radii - 10) ** 2), rel=0.05)
    assert band.gains == pytest.approx(np.pi * ((radii + 10) ** 2 - radii**2), rel=0.05)


def test_what_would_join_several_is_shared_by_size(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.tif", cones((100, 100, 4.0), (100, 165, 2.0)))  # 5 pixels lie between them
    regions = find_regions(path, RegionRules(0.5, 0.6), (1, 1))
    gains = band_of(regions).gains
    assert len(gains) == 2
    assert gains[0] / gains[1] == pytest.approx(regions.pixels[0] / regions.pixels[1])
    assert gains.sum() < np.pi * (50**2 - 40**2 + 30**2 - 20**2)


@settings(max_examples=25)
@given(
    st.integers(0, 10**6), st.floats(0.15, 0.85), st.sampled_from([0.0, 6.0]), st.sampled_from([0.0, 40.0]),
    st.integers(20, 200), st.sampled_from([0, 100, 2**14]),
)  # fmt: skip
def test_totals_are_those_of_all_pixels_at_once_in_any_strips(
    tmp_path_factory: pytest.TempPathFactory, seed: int, threshold: float, close_m: float, min_area: float, rows: int,
    few: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((150, 180)), 5)
    valid = np.ones(noise.shape, bool)
    valid[40:60, 100:] = False
    values = quantise(expit(2 * noise / noise.std()).astype(np.float32), valid)
    path = write(tmp_path_factory.mktemp("band") / "scores.tif", values)
    rules = RegionRules(threshold, threshold, min_area, close_m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions_module, "FEW_RUNS", few)
        regions = find_regions(path, rules, (1, 1), rows=rows)
        if not len(regions):
            return
        band = band_of(regions)
    whole = band_of(find_regions(path, rules, (1, 1)))
    assert np.array_equal(band.loses, whole.loses)
    assert band.gains == pytest.approx(whole.gains)
    assert ((band.loses >= 0) & (band.loses <= regions.pixels) & (band.gains >= 0)).all()
    if not (close_m or min_area):
        lower, upper = (lowest_level(float(expit(logit(threshold) + step))) for step in (-BAND, BAND))
        inside = values >= lowest_level(threshold)
        pieces, _ = ndimage.label(values >= lower)
        holds = np.isin(pieces, np.unique(pieces[inside])) & (pieces > 0)
        assert band.gains.sum() == pytest.approx((holds & ~inside).sum())
        assert band.loses.sum() == (inside & (values < upper)).sum()
