"""Opening a dataset with GDAL and reading its raw pixels and their validity."""

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RioWindow

from uvsam.errors import SceneError
from uvsam.raster.trust import NEVER
from uvsam.raster.window import Window

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
CACHE_BYTES = 256 * 2**20
REMOTE = re.compile(r"^(?:/vsi(?!mem|zip|tar|gzip|7z|rar)|(?!file:|zip:|tar:|gzip:)[a-z0-9+]+://)", re.IGNORECASE)


def is_remote(uri: str) -> bool:
    """True for a uri that is read over the network (``https://``, ``s3://``, ``/vsicurl/`` ...)."""
    return REMOTE.match(uri) is not None


def gdal_environment(uri: str = "") -> rasterio.Env:
    """GDAL settings for a long run: a block cache of bounded size (GDAL's default is a share of the machine's memory).

    Outside of the main thread they hold in the thread that enters them, and in no other.

    Args:
        uri: what will be read; remote files get settings of their own.
    """
    # the second and third: a truncated JPEG or PNG is an error, not half an image
    options: dict[str, Any] = {
        "GDAL_CACHEMAX": CACHE_BYTES,
        "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
        "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,
        **NEVER,
    }
    if is_remote(uri):  # listing a bucket or a web folder before every open can take longer than the read itself
        options |= {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": 3, "GDAL_HTTP_RETRY_DELAY": 1}
    return rasterio.Env(**options)


@contextmanager
def open_dataset(uri: str) -> Iterator[Any]:
    """The rasterio dataset of ``uri``, in a GDAL environment with a bounded block cache.

    Raises:
        SceneError: it cannot be opened, or GDAL fails inside the ``with`` block.
    """
    with gdal_environment(uri):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(uri)
        except (*GDAL_ERRORS, OSError, ValueError) as error:
            raise SceneError(f"cannot open {uri}: {one_line(error)}") from error
        try:
            with dataset:
                yield dataset
        except GDAL_ERRORS as error:  # from a question to the dataset; reads have an error of their own
            raise SceneError(f"cannot read {uri}: {one_line(error)}") from error


def identity(uri: str) -> list[tuple[str, int, int]]:
    """Name, size and time of change of the files that an image is made of, as far as they lie on this machine."""
    with open_dataset(uri) as dataset:
        paths = [Path(name) for name in dataset.files]
    found = [(path, path.stat()) for path in paths if path.exists()]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]


def read_raw(
    dataset: Any, bands: tuple[int, int, int], window: Window, out_shape: tuple[int, int] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Raw values (3, h, w) in the dataset's dtype and validity (h, w) of a window inside the dataset.

    A pixel is invalid where any statement in the file says so: the alpha band or the mask (internal, ``.msk``, VRT) is
    0, a band is NaN or infinite, or it has the nodata value. A nodata value that real pixels have too (0, or any value
    of an unsigned type: black roofs, saturated ones) must stand in all three bands; any other (-9999 ...) in one.

    Args:
        out_shape: read decimated to this (height, width) by nearest neighbour, through overviews where there are any.

    Raises:
        SceneError: blocks are missing or damaged, or the connection was lost.
    """
    box = RioWindow(window.col, window.row, window.width, window.height)
    shape = out_shape or window.shape
    alpha = alpha_band(dataset)
    flags = dataset.mask_flag_enums[bands[0] - 1]
    try:
        indexes = [*bands, alpha] if alpha is not None else list(bands)
        values = dataset.read(indexes, window=box, out_shape=(len(indexes), *shape))
        valid = values[3] > 0 if alpha is not None else np.ones(shape, dtype=bool)
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            valid &= dataset.read_masks(bands[0], window=box, out_shape=shape) > 0
    except (*GDAL_ERRORS, OSError, ValueError) as error:
        with suppress(*GDAL_ERRORS):  # the next call, whatever it is, would tell of this error once more
            _ = dataset.colorinterp
        raise SceneError(
            f"cannot read {dataset.name}: rows {window.row} to {window.row_stop} are missing or damaged; "
            f"copy or download the file again ({one_line(error)})"
        ) from error
    pixels: NDArray[Any] = values[:3]
    valid &= ~_is_nodata(pixels, [dataset.nodatavals[band - 1] for band in bands])
    if pixels.dtype.kind == "f":
        valid &= np.isfinite(pixels).all(axis=0)
    return pixels, valid


def check_complete(dataset: Any, bands: tuple[int, ...]) -> None:
    """A local TIFF whose blocks lie beyond its end was cut off: say so now, not hours into a run.

    Raises:
        SceneError: the file is truncated.
    """
    path = Path(dataset.name)
    if dataset.driver != "GTiff" or not path.is_file():
        return
    size = path.stat().st_size
    for band in sorted(set(bands)) if dataset.profile.get("interleave") == "band" else bands[:1]:
        block_height, block_width = dataset.block_shapes[band - 1]
        rows, cols = math.ceil(dataset.height / block_height), math.ceil(dataset.width / block_width)
        step = max(1, rows * cols // 100_000)
        for index in {*range(0, rows * cols, step), rows * cols - 1}:
            block = f"{index % cols}_{index // cols}"
            offset = dataset.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", bidx=band)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{block}", "TIFF", bidx=band)
            if offset and length and int(offset) + int(length) > size:
                raise SceneError(f"{path} is truncated: it ends before its last pixels; copy or download it again")


def alpha_band(dataset: Any) -> int | None:
    """1-based number of the alpha band, None where there is none."""
    for index, meaning in enumerate(dataset.colorinterp, start=1):
        if meaning == ColorInterp.alpha:
            return index
    return None


def _is_nodata(pixels: NDArray[Any], nodata: list[float | None]) -> NDArray[np.bool_]:
    hits = [_equals(band, value) for band, value in zip(pixels, nodata, strict=True)]
    can_be_real = pixels.dtype.kind == "u" or all(value in (None, 0) for value in nodata)
    combined: NDArray[np.bool_] = np.logical_and.reduce(hits) if can_be_real else np.logical_or.reduce(hits)
    return combined


def _equals(band: NDArray[Any], value: float | None) -> NDArray[np.bool_]:
    if value is not None and band.dtype.kind in "iu":
        limits = np.iinfo(band.dtype)
        value = int(value) if np.isfinite(value) and value % 1 == 0 and limits.min <= value <= limits.max else None
    return np.zeros(band.shape, dtype=bool) if value is None else np.asarray(band == value)


def one_line(error: BaseException) -> str:
    """What GDAL said about a failure, without line breaks."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split()) or type(error).__name__
