"""Pixels as runs: the stretches of equal pixels in each row, which are far fewer than pixels."""

from collections.abc import Iterator
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from uvsam.raster.window import Window

Ints = NDArray[np.int32]
Value = TypeVar("Value", bound=np.generic)


class Runs(NamedTuple):
    """Columns ``[start, stop)`` of ``row`` have one ``label``, which is not 0; in order of row, then start."""

    row: Ints
    start: Ints
    stop: Ints
    label: Ints

    def take(self, index: slice | NDArray[np.bool_]) -> Self:
        return type(self)(*(field[index] for field in self))


def find_runs(pixels: NDArray[np.bool_] | Ints, row: int = 0) -> Runs:
    """Runs of a mask, whose label is 1, or of labels.

    Args:
        pixels: (H, W), 0 for none.
        row: number of the first row.
    """
    height, width = pixels.shape
    if pixels.dtype == bool and pixels.all():  # as where all of a scene was looked at
        every = np.arange(row, row + height, dtype=np.int32)
        return Runs(every, np.zeros_like(every), np.full_like(every, width), np.ones_like(every))
    # One line of pixels, with none before the first and after each row.
    line = np.zeros(height * (width + 1) + 1, pixels.dtype)
    line[1:].reshape(height, width + 1)[:, :width] = pixels
    changes = np.flatnonzero(line[1:] != line[:-1])
    label = line[changes + 1]
    begins = np.flatnonzero(label)
    start, stop = changes[begins], changes[begins + 1]
    rows = start // (width + 1)
    before = rows * (width + 1)
    return Runs(*(part.astype(np.int32) for part in (rows + row, start - before, stop - before, label[begins])))


def label_runs(runs: Runs) -> tuple[Runs, int]:
    """The runs of a mask with the labels of its 4-connected parts, 1..N in the order of their first pixels; and N."""
    size = len(runs.row)
    if not size:
        return runs, 0
    across = int(runs.stop.max()) + 1
    before = runs.row.astype(np.int64) * across
    start, stop = before + runs.start, before + runs.stop
    # Those in the row above that share a column with a run stand next to each other.
    first = np.searchsorted(stop, start - across, side="right")
    count = np.maximum(np.searchsorted(start, stop - across, side="left") - first, 0)
    ends = np.append(0, np.cumsum(count))
    above = np.arange(ends[-1]) + np.repeat(first - ends[:-1], count)
    graph = csr_array((np.ones(len(above), np.bool_), above, ends), shape=(size, size))
    # Parts are numbered by their first node, and that is their first run.
    found, label = connected_components(graph, directed=False)
    return runs._replace(label=label + np.int32(1)), int(found)


def paint_runs(runs: Runs, window: Window) -> Ints:
    """(H, W) labels, 0 for none, of a window that holds the runs."""
    before = (runs.row - window.row).astype(np.int64) * window.width - window.col
    limits = np.empty(2 * len(before) + 2, np.int64)
    limits[0], limits[-1] = 0, window.height * window.width
    limits[1:-1:2], limits[2:-1:2] = before + runs.start, before + runs.stop
    labels = np.zeros(len(limits) - 1, np.int32)
    labels[1::2] = runs.label
    return np.repeat(labels, np.diff(limits)).reshape(window.shape)


def by_blocks(runs: Runs, rows: range, block: tuple[int, int], width: int) -> Iterator[tuple[Window, Runs]]:
    """The blocks of a raster that have a run, and their runs; blocks side by side are one window.

    Args:
        rows: that hold the runs; blocks begin at the first.
        block: (height, width).
        width: of the raster.
    """
    for row in range(rows.start, rows.stop, block[0]):
        stop = min(row + block[0], rows.stop)
        here = runs.take(slice(*np.searchsorted(runs.row, [row, stop])))
        covers = np.zeros(-(-width // block[1]) + 1, np.int64)  # how many more runs there are than in the block before
        np.add.at(covers, here.start // block[1], 1)
        np.add.at(covers, (here.stop - 1) // block[1] + 1, -1)
        edges = np.flatnonzero(np.diff(np.cumsum(covers) > 0, prepend=False)) * block[1]
        for left, right in edges.reshape(-1, 2).tolist():
            some = here.take((here.start >= left) & (here.start < right))
            yield Window(row, left, stop - row, min(right, width) - left), some


def values_along(runs: Runs, values: NDArray[Value], row: int, col: int = 0) -> tuple[Ints, NDArray[Value]]:
    """Label and value of each pixel of the runs, in their order.

    Args:
        values: (H, W), of the window whose first pixel is at ``row`` and ``col`` and which holds the runs.
    """
    lengths = (runs.stop - runs.start).astype(np.int64)
    begins = (runs.row - row).astype(np.int64) * values.shape[1] + (runs.start - col)
    pixels = np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    return np.repeat(runs.label, lengths), values.reshape(-1)[pixels]
