"""The image: same pixels however it is cut, different radiometry per period, exact truth under every pixel."""

import numpy as np
import pytest
import rasterio.features
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.raster.window import Window
from uvsam.simulate import City, Frame, build_city, draw_window, truth_mask, truth_polygons
from uvsam.simulate.hashing import cell_hash, unit
from uvsam.simulate.lattice import Lattice

FRAME = Frame(0.9, 667)


@pytest.fixture(scope="module")
def city() -> City:
    return build_city(600.0, (2012, 2016, 2020), 7)


@pytest.fixture(scope="module")
def whole(city: City) -> np.ndarray:
    return draw_window(city, FRAME, 1, FRAME.full)


@settings(max_examples=10, deadline=None)
@given(row=st.integers(-40, 660), col=st.integers(-40, 660), height=st.integers(1, 160), width=st.integers(1, 160))
def test_a_pixel_does_not_depend_on_the_window(
    city: City, whole: np.ndarray, row: int, col: int, height: int, width: int
) -> None:
    window = Window(row, col, height, width)
    common = window.intersection(FRAME.full)
    image = draw_window(city, FRAME, 1, window)
    inside = Window(common.row - row, common.col - col, common.height, common.width)
    np.testing.assert_array_equal(image[:, *inside.slices], whole[:, *common.slices])


@pytest.mark.parametrize("block", [100, 333])
def test_blocks_put_together_are_the_whole(city: City, whole: np.ndarray, block: int) -> None:
    rebuilt = np.zeros_like(whole)
    for row in range(0, FRAME.size_px, block):
        for col in range(0, FRAME.size_px, block):
            window = Window(row, col, block, block).intersection(FRAME.full)
            rebuilt[:, *window.slices] = draw_window(city, FRAME, 1, window)
    np.testing.assert_array_equal(rebuilt, whole)


def test_large_cities_are_seamless_too() -> None:
    city, frame = build_city(1600.0, (2014,), 3), Frame(2.0, 800)
    whole = draw_window(city, frame, 0, frame.full)
    for window in (Window(0, 0, 300, 800), Window(300, 0, 500, 410), Window(300, 410, 500, 390)):
        np.testing.assert_array_equal(draw_window(city, frame, 0, window), whole[:, *window.slices])


def test_same_seed_same_city_and_another_seed_another_city(whole: np.ndarray) -> None:
    years = (2012, 2016, 2020)
    np.testing.assert_array_equal(draw_window(build_city(600.0, years, 7), FRAME, 1, FRAME.full), whole)
    other = draw_window(build_city(600.0, years, 8), FRAME, 1, FRAME.full)
    assert (other != whole).mean() > 0.9


def test_periods_differ_in_radiometry_where_nothing_changed(city: City) -> None:
    images = [draw_window(city, FRAME, period, FRAME.full).astype(float) for period in range(3)]
    means = np.array([image.mean(axis=(1, 2)) for image in images])
    ratios = means / means.mean(axis=1, keepdims=True)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(images[a] - images[b]).mean() > 4
        assert np.abs(means[a] - means[b]).max() > 3 or np.abs(ratios[a] - ratios[b]).max() > 0.01


def test_the_image_uses_the_range_without_clipping_it_away(whole: np.ndarray) -> None:
    assert whole.std(axis=(1, 2)).min() > 20
    assert ((whole == 0) | (whole == 255)).mean() < 0.05


@pytest.mark.parametrize("period", [0, 1, 2])
def test_polygons_rasterise_to_the_mask(city: City, period: int) -> None:
    transform = Affine(0.9, 0, 440000, 0, -0.9, 4420000)
    outlines = [outline for _, outline in truth_polygons(city, FRAME, period, transform)]
    assert outlines
    assert all(outline.is_valid for outline in outlines)
    burnt = rasterio.features.rasterize(outlines, out_shape=FRAME.full.shape, transform=transform).astype(bool)
    mask = truth_mask(city, FRAME, period, FRAME.full)
    np.testing.assert_array_equal(burnt, mask)
    assert sum(outline.area for outline in outlines) == pytest.approx(mask.sum() * 0.81)


def test_the_mask_does_not_depend_on_the_window(city: City) -> None:
    mask = truth_mask(city, FRAME, 1, FRAME.full)
    for window in (Window(0, 0, 300, 667), Window(211, 97, 301, 255)):
        np.testing.assert_array_equal(truth_mask(city, FRAME, 1, window), mask[window.slices])


def test_villages_are_finer_grained_than_the_rest_of_the_city() -> None:
    """Roofs of a few metres: most of the variance of a village lies below 12 m, and little of it is green."""
    city, frame = build_city(900.0, (2014,), 7), Frame(0.9, 1000)
    image = draw_window(city, frame, 0, frame.full).astype(float)
    mask = truth_mask(city, frame, 0, frame.full)
    grey = image.mean(axis=0)
    coarse = grey[: 1000 // 13 * 13, : 1000 // 13 * 13].reshape(76, 13, 76, 13).mean(axis=(1, 3))
    share = mask[: 76 * 13, : 76 * 13].reshape(76, 13, 76, 13).mean(axis=(1, 3))
    assert coarse[share == 1].std() < 0.6 * coarse[share == 0].std()
    green = image[1] - (image[0] + image[2]) / 2
    assert green[mask].mean() < green[~mask].mean()


@given(i=st.integers(-(2**31), 2**31 - 1), j=st.integers(-(2**31), 2**31 - 1), key=st.integers(0, 2**32 - 1))
def test_cell_hashes_are_the_same_alone_and_in_arrays(i: int, j: int, key: int) -> None:
    alone = cell_hash(i, j, key)
    np.testing.assert_array_equal(cell_hash(np.full(9, i), np.full(9, j), key), np.full(9, alone))


def test_hashes_are_uniform_and_uncorrelated() -> None:
    j, i = np.meshgrid(np.arange(-200, 200), np.arange(-200, 200))
    values = unit(cell_hash(i, j, 5), 1).astype(float)
    histogram = np.histogram(values, bins=20, range=(0, 1))[0]
    assert abs(histogram / values.size - 0.05).max() < 0.004
    for shifted in (
        np.roll(values, 1, 0),
        np.roll(values, 1, 1),
        unit(cell_hash(i, j, 5), 2),
        unit(cell_hash(i, j, 6), 1),
    ):
        assert abs(np.corrcoef(values.ravel(), shifted.ravel())[0, 1]) < 0.01


@given(st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
def test_lattices_reproduce_linear_fields(step: float, a: float, b: float) -> None:
    x, y = Lattice.nodes(-10, 20, step)
    lattice = Lattice(-10, -10, step, (a * x + b * y).astype(np.float32))
    xs, ys = np.linspace(-9, 19, 31), np.linspace(-8, 18, 23)
    expected = a * xs + b * ys[:, None]
    np.testing.assert_allclose(lattice.on_grid(xs, ys), expected, atol=0.02)
    np.testing.assert_allclose(lattice.at(*np.meshgrid(xs, ys)), expected, atol=0.02)
