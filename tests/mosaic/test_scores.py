import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uvsam.errors import SceneError
from uvsam.mosaic.scores import dequantise, lowest_level, quantise, read_strips, strip_rows


@given(hnp.arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)), hnp.arrays(np.bool_, (3, 5)))
def test_a_score_comes_back_within_half_a_level_and_nothing_where_nothing_was_seen(score, valid):
    values = quantise(score, valid)
    back = dequantise(values)
    assert (values > 0).tolist() == valid.tolist()
    assert np.isnan(back).tolist() == (~valid).tolist()
    assert np.abs(back - score)[valid].max(initial=0) <= 0.5 / 254 + 1e-6
    assert (quantise(back, valid) == values).all()


def test_scores_that_are_no_scores():
    score = np.array([[np.nan, -0.1, 1.1, np.inf]], np.float32)
    assert quantise(score, np.ones((1, 4), bool)).tolist() == [[0, 1, 255, 255]]


@given(st.integers(0, 10_000).map(lambda n: n / 10_000))
def test_the_lowest_level_is_the_first_that_reaches_the_threshold(threshold):
    level = lowest_level(threshold)
    scores = (np.arange(1, 256) - 1) / 254
    assert level == 1 + int((scores < threshold - 1e-9).sum())


@pytest.fixture
def raster(tmp_path):
    values = np.random.default_rng(3).integers(0, 256, (150, 70), dtype=np.uint8)
    path = tmp_path / "scores.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=150, width=70, count=1, dtype="uint8", crs="EPSG:32650",
        transform=rasterio.Affine(1, 0, 5e5, 0, -1, 4e6), tiled=True, blockxsize=32, blockysize=16,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path, values


@pytest.mark.parametrize(("halo_px", "rows"), [(0, 64), (5, 64), (40, 7), (200, 150), (3, None)])
def test_strips_are_the_raster_with_nothing_around_it(raster, halo_px, rows):
    path, values = raster
    around = np.pad(values, ((halo_px, halo_px), (0, 0)))
    strips = list(read_strips(path, halo_px=halo_px, rows=rows))
    assert (np.vstack([strip.values[strip.core] for strip in strips]) == values).all()
    for strip in strips:
        assert (strip.values == around[strip.row : strip.row + strip.rows + 2 * halo_px]).all()


def test_strips_stay_within_their_budget():
    assert strip_rows(80_000) == 200
    assert strip_rows(10_000_000) == 64
    assert strip_rows(80_000, halo_px=300) == 600
    assert strip_rows(20_000, block_rows=512) == 512  # whole blocks
    assert strip_rows(4_000, block_rows=512) == 7 * 512
    assert strip_rows(80_000, block_rows=512) == 512
    assert strip_rows(80_000, block_rows=5_000) == 200


def test_a_broken_file_is_a_one_line_error(tmp_path):
    path = tmp_path / "scores.tif"
    path.write_bytes(b"no raster")
    with pytest.raises(SceneError, match=r"cannot read the scores .*scores\.tif"):
        list(read_strips(path))
