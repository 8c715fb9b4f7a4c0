"""From pixels to metres of the city: x east, y south, from the upper left corner of the image."""

from dataclasses import dataclass

import numpy as np

from uvsam.raster.window import Window
from uvsam.simulate.lattice import Doubles


@dataclass(frozen=True)
class Frame:
    """The pixel grid a city is drawn on."""

    gsd_m: float
    size_px: int

    def centres(self, window: Window) -> tuple[Doubles, Doubles]:
        """(xs (W,), ys (H,)): metres of the pixel centres of a window, which may reach outside the image."""
        xs: Doubles = (np.arange(window.col, window.col_stop) + np.float64(0.5)) * np.float64(self.gsd_m)
        ys: Doubles = (np.arange(window.row, window.row_stop) + np.float64(0.5)) * np.float64(self.gsd_m)
        return xs, ys

    def window(self, x0: float, y0: float, x1: float, y1: float) -> Window:
        """The smallest window whose pixel centres include all of a box in metres."""
        col, row = int(np.floor(x0 / self.gsd_m)) - 1, int(np.floor(y0 / self.gsd_m)) - 1
        return Window(row, col, int(np.ceil(y1 / self.gsd_m)) + 1 - row, int(np.ceil(x1 / self.gsd_m)) + 1 - col)

    @property
    def full(self) -> Window:
        return Window(0, 0, self.size_px, self.size_px)
