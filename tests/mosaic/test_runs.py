"""Laws of runs: they are the pixels, and their labels those of scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uvsam.mosaic.runs import find_runs, label_runs, paint_runs

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int32, shapes, elements=st.integers(0, 3)), st.integers(0, 2**31 - 100))
def test_runs_are_the_pixels_and_no_more_of_them_than_needed(labels, row):
    runs = find_runs(labels, row)
    assert (paint_runs(runs, row, labels.shape) == labels).all()
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
    assert (paint_runs(runs, row, mask.shape) == expected).all()
