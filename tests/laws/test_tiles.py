"""Laws of tiling: nothing is missed, nothing is done twice, and no seam can be seen."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from uvsam.errors import SettingsError
from uvsam.raster.resample import downsample, downsample_weights, source_range, upsample_scores
from uvsam.raster.window import Window
from uvsam.tiles import TilePlan, plan_tiles

RADIUS = 16


@st.composite
def plans(draw: st.DrawFn, scales: st.SearchStrategy[float] | None = None, longest: int = 3000) -> TilePlan:
    scales = st.just(1.0) | st.floats(0.25, 8) if scales is None else scales
    shape = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    chip_px = 32 * draw(st.integers(4, 10))
    halo_px = draw(st.integers(0, chip_px // 4 - 8))
    try:
        return plan_tiles(shape, (draw(scales), draw(scales)), chip_px=chip_px, halo_px=halo_px)
    except SettingsError as error:
        if "too small for a halo" not in str(error):
            raise
        return plan_tiles(shape, (1.0, 1.0), chip_px=256, halo_px=64)


@settings(deadline=None)
@given(plans())
def test_cores_partition_the_scene(plan: TilePlan) -> None:
    seen = np.zeros(plan.shape, dtype=np.uint8)
    for number, tile in enumerate(plan):
        assert tile.index == number
        assert tile.core.row % plan.core_px[0] == tile.core.col % plan.core_px[1] == 0
        seen[tile.core.slices] += 1
    assert number + 1 == len(plan)
    assert (seen == 1).all()
    assert plan.core_px[0] % 16 == plan.core_px[1] % 16 == 0  # so that a core is a block of a TIFF


@settings(deadline=None)
@given(plans())
def test_chips_hold_their_core_and_its_halo(plan: TilePlan) -> None:
    check_chips(plan)


@pytest.mark.parametrize("scale", [8.0, 37.5, 75.0])
@pytest.mark.parametrize("shape", [(9000, 40_000), (30_001, 200)])
def test_memory_does_not_grow_with_how_fine_the_pixels_are(shape: tuple[int, int], scale: float) -> None:
    plan = plan_tiles(shape, (scale, scale), chip_px=768, halo_px=128)
    assert max(plan.core_px) <= 4096
    assert max(plan.chip_px) <= 768
    check_chips(plan)


def check_chips(plan: TilePlan) -> None:
    for tile in plan:
        assert tile.chip.shape == plan.chip_px
        for axis in (0, 1):
            scale, size = plan.scale_xy[1 - axis], plan.model_shape[axis]
            first, count = tile.core[axis], tile.core[axis + 2]
            low, high = first / scale - plan.halo_px, (first + count) / scale + plan.halo_px
            assert tile.chip[axis] % 32 == tile.chip[axis + 2] % 32 == 0
            assert tile.chip[axis] >= 0
            assert tile.chip[axis] <= max(low, 0)
            assert tile.chip[axis] + tile.chip[axis + 2] >= min(high, size)
            assert tile.chip[axis] + tile.chip[axis + 2] <= math.ceil(size / 32) * 32


def test_a_default_plan() -> None:
    plan = plan_tiles((2560, 2000), (1.0, 1.0), chip_px=512, halo_px=64)
    assert plan.core_px == (384, 384)
    assert plan.grid == (7, 6)
    assert plan[0].chip == Window(0, 0, 512, 512)
    assert plan[8].chip == Window(320, 704, 512, 512)
    assert plan[41].core == Window(2304, 1920, 256, 80)
    assert plan[41].chip == Window(2048, 1504, 512, 512)  # ends at 2016 = 2000 rounded up to the network's stride
    with pytest.raises(IndexError):
        plan[42]


def test_a_small_scene_is_one_tile() -> None:
    plan = plan_tiles((300, 90), (1.0, 1.0), chip_px=512, halo_px=64)
    assert [(tile.core, tile.chip) for tile in plan] == [(Window(0, 0, 300, 90), Window(0, 0, 320, 96))]


@pytest.mark.parametrize("sizes", [{"chip_px": 500, "halo_px": 64}, {"chip_px": 128, "halo_px": 64}])
def test_sizes_that_cannot_work(sizes: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        plan_tiles((3000, 3000), (1.0, 1.0), **sizes)


@settings(max_examples=25, deadline=None)
@given(plans(longest=900), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_tiled_is_untiled(plan: TilePlan, order: random.Random, seed: int) -> None:
    """A network whose context is within the halo gives the same score tiled and untiled: 0 pixels differ."""
    radius = min(RADIUS, plan.halo_px)
    image = np.random.default_rng(seed).random(plan.shape, dtype=np.float32)
    whole = Window(0, 0, *(math.ceil(size / 32) * 32 for size in plan.model_shape))
    untiled = scores_of(image, plan, whole, Window(0, 0, *plan.shape), radius)
    tiled = np.full(plan.shape, np.nan, dtype=np.float32)
    tiles = list(plan)
    order.shuffle(tiles)
    for tile in tiles:
        tiled[tile.core.slices] = scores_of(image, plan, tile.chip, tile.core, radius)
    assert np.count_nonzero(tiled != untiled) == 0


@settings(max_examples=25, deadline=None)
@given(plans(longest=600), st.integers(0, 255))
def test_constant_in_constant_out(plan: TilePlan, value: int) -> None:
    image = np.full(plan.shape, value, dtype=np.float32)
    for tile in plan:
        scores = scores_of(image, plan, tile.chip, tile.core, 0)
        assert scores.shape == tile.core.shape
        np.testing.assert_allclose(scores, value, rtol=1e-6)


def scores_of(image: np.ndarray, plan: TilePlan, chip: Window, core: Window, radius: int) -> np.ndarray:
    """Read a chip, run a mean filter of (2 radius + 1)^2 on it, bring it to the scene grid."""
    pixels = read_chip(image, plan, chip)
    # the network sees zeros beyond its chip, as convolutions do; whole numbers make the order of summing irrelevant
    whole = np.round(pixels * 4096).astype(np.int64)
    size = 2 * radius + 1
    total = np.round(uniform_filter(whole.astype(np.float64), size, mode="constant") * size**2)
    scores = (total / (4096 * size**2)).astype(np.float32)
    return upsample_scores(scores, chip, core, plan.scale_xy, model_shape=plan.model_shape)


def read_chip(image: np.ndarray, plan: TilePlan, chip: Window) -> np.ndarray:
    scale_x, scale_y = plan.scale_xy
    height, width = plan.shape
    rows, cols = (
        source_range(chip.row, chip.height, scale_y, height),
        source_range(chip.col, chip.width, scale_x, width),
    )
    pixels = image[slice(*rows), slice(*cols)]
    resampled, _ = downsample(
        pixels[None],
        np.ones(pixels.shape, dtype=bool),
        downsample_weights(chip.row, chip.height, scale_y, height),
        downsample_weights(chip.col, chip.width, scale_x, width),
    )
    result: np.ndarray = resampled[0]
    return result
