"""Laws of runs: they are the pixels, and their labels those of scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uvsam.mosaic.runs import by_blocks, find_runs, label_runs, paint_runs, values_along
from uvsam.raster.window import Window

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int32, shapes, elements=st.integers(0, 3)), st.integers(0, 2**31 - 100))
def test_runs_are_the_pixels_and_no_more_of_them_than_needed(labels, row):
    runs = find_runs(labels, row)
    assert (paint_runs(runs, Window(row, 0, *labels.shape)) == labels).all()
    # Between the runs of a row there is either nothing or another label.
    meets = (runs.row[1:] == runs.row[:-1]) & (runs.start[1:] == runs.stop[:-1])
    assert (runs.label[1:] != runs.label[:-1])[meets].all()
    assert (np.diff(runs.row.astype(int) * 100 + runs.start) > 0).all()


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.bool_, shapes), st.integers(0, 1000))
def test_labels_of_runs_are_those_of_the_pixels(mask, row):
    runs, count = label_runs(find_runs(mask, row))
    expected, expected_count = ndimage.label(mask)
    assert count == expected_count
    assert (paint_runs(runs, Window(row, 0, *mask.shape)) == expected).all()


@settings(max_examples=300, deadline=None)
@given(
    hnp.arrays(np.int32, shapes, elements=st.sampled_from([0, 0, 0, 0, 0, 1, 2])), st.integers(0, 1000),
    st.tuples(st.integers(1, 25), st.integers(1, 25)),
)  # fmt: skip
def test_blocks_with_a_run_are_painted_once_and_no_others(labels, row, block):
    height, width = labels.shape
    painted, times = np.zeros_like(labels), np.zeros_like(labels)
    for window, runs in by_blocks(find_runs(labels, row), range(row, row + height), block, width):
        place = window.within(Window(row, 0, height, width)).slices
        painted[place] = paint_runs(runs, window)
        times[place] += 1
    assert (painted == labels).all()
    for top in range(0, height, block[0]):
        for left in range(0, width, block[1]):
            place = slice(top, top + block[0]), slice(left, left + block[1])
            assert (times[place] == labels[place].any()).all()


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int32, shapes, elements=st.integers(0, 3)), st.integers(0, 1000), st.data())
def test_values_along_runs_are_those_of_their_pixels(labels, row, data):
    values = data.draw(hnp.arrays(np.uint8, labels.shape))
    runs, col = find_runs(labels, row), data.draw(st.integers(0, 1000))
    runs = runs._replace(start=runs.start + np.int32(col), stop=runs.stop + np.int32(col))
    label, value = values_along(runs, values, row, col)
    assert (label == labels[labels > 0]).all()
    assert (value == values[labels > 0]).all()
