"""Writing rasters block by block, under a temporary name until they are complete."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window as RioWindow

from uvsam.errors import OutputError


def temporary_name(path: Path) -> Path:
    """A hidden name beside ``path`` with the same extension, so that drivers that look at it still work."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


class RasterWriter:
    """A tiled GeoTIFF that takes its final name only when it was closed without an error.

    Args:
        path: final name.
        geobox: grid of the raster; ``geobox.crs`` may be None.
        block_px: (height, width) of the TIFF's tiles, multiples of 16. Writing whole blocks once each is the fast path.

    Raises:
        OutputError: the folder is missing or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        *,
        count: int = 1,
        dtype: str = "uint8",
        nodata: float | None = None,
        block_px: tuple[int, int] = (512, 512),
        compress: str = "deflate",
        tags: dict[str, str] | None = None,
        **profile: Any,
    ) -> None:
        self.path = Path(path)
        self._part = temporary_name(self.path)
        if not self.path.parent.is_dir():
            raise OutputError(f"folder {self.path.parent} does not exist")
        try:
            self._dataset = rasterio.open(
                self._part, "w", driver="GTiff", height=geobox.shape[0], width=geobox.shape[1], count=count,
                dtype=dtype, nodata=nodata, crs=None if geobox.crs is None else str(geobox.crs.to_wkt()),
                transform=geobox.affine, tiled=True, blockysize=block_px[0], blockxsize=block_px[1],
                compress=compress, bigtiff="IF_SAFER", sparse_ok=True, **profile,
            )  # fmt: skip
            if tags:
                self._dataset.update_tags(**tags)
        except (RasterioError, OSError) as error:
            raise OutputError(f"cannot write {self.path}: {error}") from error

    def write(self, array: NDArray[Any], row: int, col: int) -> None:
        """Write ``array`` (count, H, W) or (H, W) with its upper left pixel at (row, col)."""
        array = array if array.ndim == 3 else array[None]
        window = RioWindow(col, row, array.shape[2], array.shape[1])
        try:
            self._dataset.write(array, window=window)
        except (RasterioError, OSError) as error:
            raise OutputError(f"cannot write {self.path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._dataset.close()
            if kind is None:
                self._part.replace(self.path)
        except (RasterioError, OSError) as failure:
            raise OutputError(f"cannot write {self.path}: {failure}") from failure
        finally:
            self._part.unlink(missing_ok=True)
