"""Reading the raw pixels of a scene, and which of them are valid."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RioWindow

from uvsam.errors import SceneError
from uvsam.raster.access import GDAL_ERRORS, name_of, one_line
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window


def read_raw(
    dataset: Any, scene: Scene, window: Window, out_shape: tuple[int, int] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Raw values (3, h, w) in the dataset's dtype and validity (h, w) of a window inside the scene.

    Args:
        dataset: of the scene, open.
        out_shape: read decimated to this (height, width) by nearest neighbour, through overviews where there are any.

    Raises:
        SceneError: blocks are missing or damaged, or the connection was lost.
    """
    box = RioWindow(window.col, window.row, window.width, window.height)
    shape = out_shape or window.shape
    bands, validity = scene.bands, scene.validity
    said: NDArray[np.bool_] = np.ones(shape, dtype=bool)
    try:
        if validity.masked:
            said = dataset.read_masks(bands[0], window=box, out_shape=shape) > 0
            if not said.any():  # as between the files of a mosaic: nothing to decode
                return np.zeros((3, *shape), scene.dtype), said
        indexes = list(bands) if validity.alpha is None else [*bands, validity.alpha]
        values = _read(dataset, indexes, box, shape)
        if validity.alpha is not None:
            said &= values[3] > 0
    except (*GDAL_ERRORS, OSError, ValueError) as error:
        with suppress(*GDAL_ERRORS):  # the next call, whatever it is, would tell of this error once more
            _ = dataset.colorinterp
        raise SceneError(
            f"cannot read {name_of(dataset.name)}: rows {window.row} to {window.row_stop} are missing or damaged; "
            f"copy or download the file again ({one_line(error)})"
        ) from error
    pixels: NDArray[Any] = values[:3]
    return pixels, said if validity.holds_all(scene.dtype) else said & validity.of(pixels, window)


def _read(dataset: Any, indexes: list[int], box: RioWindow, shape: tuple[int, int]) -> NDArray[Any]:
    """Bands (n, h, w), in the type that holds all values of red, green and blue where they are of several types."""
    if len({dataset.dtypes[index - 1] for index in indexes}) == 1:
        values: NDArray[Any] = dataset.read(indexes, window=box, out_shape=(len(indexes), *shape))
        return values
    common = np.result_type(*(dataset.dtypes[index - 1] for index in indexes[:3]))
    return np.stack([dataset.read(index, window=box, out_shape=shape).astype(common) for index in indexes])
