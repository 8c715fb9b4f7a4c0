"""A rectangle of pixels."""

from collections.abc import Sequence
from typing import NamedTuple


class Window(NamedTuple):
    """Rows ``[row, row + height)`` and columns ``[col, col + width)`` of a pixel grid; may reach outside it."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_stop(self) -> int:
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def intersection(self, other: "Window") -> "Window":
        """The common part; height or width 0 where there is none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.row_stop, other.row_stop) - row)
        width = max(0, min(self.col_stop, other.col_stop) - col)
        return Window(row, col, height, width)

    def within(self, other: "Window") -> "Window":
        """The same, counted from the first row and column of another one."""
        return self._replace(row=self.row - other.row, col=self.col - other.col)

    def pad(self, px: int) -> "Window":
        """Grown by ``px`` pixels on every side."""
        return Window(self.row - px, self.col - px, self.height + 2 * px, self.width + 2 * px)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)


def hull(windows: Sequence[Window]) -> Window:
    """The smallest window that holds some; of none, one without a pixel."""
    if not windows:
        return Window(0, 0, 0, 0)
    row, col = min(window.row for window in windows), min(window.col for window in windows)
    stop, col_stop = max(window.row_stop for window in windows), max(window.col_stop for window in windows)
    return Window(row, col, stop - row, col_stop - col)
