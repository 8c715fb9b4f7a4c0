"""Crops hold their regions, and no more crops than that takes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.prompts.crops import CELLS, MARGIN_CELLS, STEP_CELLS, plan_crops
from uvsam.raster.resample import model_size

cities = st.tuples(st.integers(40, 6000), st.integers(40, 6000)).flatmap(
    lambda shape: st.tuples(
        st.just(shape),
        st.lists(
            st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1), st.integers(1, 2500)),
            min_size=1,
            max_size=40,
        ),
    )
)


def bounds_in(shape, regions):
    """(N, 4) bounds of regions of some size from their upper left corner, cut by the scene's border."""
    return np.array([(y, x, min(y + size, shape[0]), min(x + size // 2 + 1, shape[1])) for y, x, size in regions])


@settings(max_examples=200, deadline=None)
@given(cities, st.tuples(st.floats(0.5, 5), st.floats(0.5, 5)))
def test_every_region_lies_in_its_crops_with_a_margin(city, cell_xy):
    shape, regions = city
    bounds = bounds_in(shape, regions)
    crops = plan_crops(range(1, len(bounds) + 1), bounds, cell_xy, shape)
    assert [crop.window for crop in crops] == sorted({crop.window for crop in crops})
    total = model_size(shape[0], cell_xy[1]), model_size(shape[1], cell_xy[0])
    for crop in crops:
        assert crop.window.shape == (CELLS, CELLS)
        assert min(crop.window[:2]) >= 0
        assert crop.window.row_stop <= max(total[0], CELLS)
        assert crop.window.col_stop <= max(total[1], CELLS)
    for region, (top, left, bottom, right) in enumerate(bounds, start=1):
        own = [crop.window for crop in crops if region in crop.regions]
        for axis, (first, stop) in enumerate(((top, bottom), (left, right))):
            cell = cell_xy[1 - axis]
            starts = np.array(sorted({window[axis] for window in own}))
            # Half a cell: crops start at whole cells.
            assert starts[0] <= max(0, first / cell - MARGIN_CELLS + 0.5)
            assert starts[-1] + CELLS >= min(total[axis], stop / cell + MARGIN_CELLS - 0.5)
            assert (np.diff(starts) <= STEP_CELLS + 1).all()
        assert len(own) == len({window.row for window in own}) * len({window.col for window in own})
        if (bottom - top) / cell_xy[1] <= STEP_CELLS - 1 and (right - left) / cell_xy[0] <= STEP_CELLS - 1:
            assert len(own) == 1


def test_neighbours_share_a_crop_and_strangers_do_not():
    near = [(1000, 1000, 1050, 1050), (1060, 1010, 1080, 1040), (990, 1070, 1030, 1090)]
    far = [(1000, 1400, 1050, 1450)]
    crops = plan_crops([3, 5, 8, 9], np.array(near + far), (1.0, 1.0), (3000, 3000))
    assert [crop.regions for crop in crops] == [(3, 5, 8), (9,)]
    assert crops[0].window[:2] == (1025 - 128, 1025 - 128)


def test_a_small_region_beside_a_large_one_needs_no_crop_of_its_own():
    large, small = (1000, 1000, 1600, 1150), (1300, 1160, 1330, 1175)
    crops = plan_crops([1, 2], np.array([large, small]), (1.0, 1.0), (3000, 3000))
    assert {crop.window.col for crop in crops} == {947}
    assert [crop.window.row for crop in crops] == [987, 1172, 1357]
    assert [crop.regions for crop in crops if 2 in crop.regions] == [(1, 2)]


def test_no_region_no_crop():
    assert plan_crops([], np.zeros((0, 4), np.int64), (1.0, 1.0), (100, 100)) == []
