"""Writing rasters block by block, under a temporary name until they are complete."""

import errno
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.windows import Window as RioWindow

from uvsam.errors import OutputError, SceneError
from uvsam.raster.access import GDAL_ERRORS, check_complete, gdal_environment, one_line

NAME_BYTES = 255
"""Of a file or a folder: what file systems allow."""
BESIDE_BYTES = 16
"""What names beside a result have more than its own, as its journal's."""
AROUND_BYTES = 32
"""What a temporary name has more than the result's, together with what drivers add to it while they write."""
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def temporary_name(path: Path) -> Path:
    """A hidden name beside ``path`` with the same extension, so that drivers that look at it still work."""
    return path.with_name(f".{_short(path)}.{os.getpid()}.part{path.suffix}")


def _short(path: Path) -> str:
    """The stem of a result; of one so long that no name with more around it is allowed, its start and a checksum."""
    stem, room = path.stem, NAME_BYTES - len(os.fsencode(path.suffix)) - AROUND_BYTES
    if len(os.fsencode(stem)) <= room:
        return stem
    start = os.fsencode(stem)[: room - 9].decode(errors="ignore")
    return f"{start}.{zlib.crc32(os.fsencode(stem)):08x}"


def claim_temporary(path: Path) -> Path:
    """The temporary name of a result, after what killed processes left under such names is removed.

    Looks at every name in the folder: for results, not for a cache of many files that processes share.
    """
    ours = re.compile(rf"\.{re.escape(_short(path))}\.(\d+)\.part{re.escape(path.suffix)}.*")
    with suppress(OSError):
        for file in path.parent.iterdir():
            left = ours.fullmatch(file.name)
            if left and (int(left[1]) == os.getpid() or not psutil.pid_exists(int(left[1]))):  # numbers come again
                file.unlink()
    return temporary_name(path)


def check_destination(path: Path, suffixes: tuple[str, ...], *, overwrite: bool = False) -> None:
    """Whether a file can be written at ``path``: ask before hours of work, not after.

    Args:
        suffixes: what its name may end in, with the dot; one at least.

    Raises:
        OutputError: the name has another ending or is too long, the folder is missing or closed to us, the file exists,
            or is a link, which would be replaced and not followed.
    """
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        raise OutputError(f"{path} should end in {', '.join(others)}{' or ' if others else ''}{last}")
    if len(os.fsencode(path.name)) > NAME_BYTES - BESIDE_BYTES:
        raise OutputError(f"{path} has too long a name; give one of at most {NAME_BYTES - BESIDE_BYTES} bytes")
    if "\0" in str(path):
        raise OutputError(f"{str(path)!r} is no name of a file: it has a null byte")
    try:
        if not path.parent.is_dir():
            raise OutputError(f"folder {path.parent} does not exist; create it first")
        if path.is_symlink():
            raise OutputError(f"{path} is a link to {path.readlink()}; name the file itself, or another one")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a file name")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is no file that could be replaced; give another name")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; give another name or --overwrite")
    except OutputError:
        raise
    except OSError as error:  # a name that the system refuses, of the file or of a folder
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another name or folder") from error
    check_folder_takes(path.parent, path)


def check_folder_takes(folder: Path, path: Path) -> None:
    """Whether a file can be made in a folder; nothing of it is left.

    Args:
        path: what is to be written there.

    Raises:
        OutputError: the folder is closed to us, or full, or the system refuses the name.
    """
    probe = temporary_name(path)
    try:
        with probe.open("wb") as file:
            file.write(bytes(1))  # a full disk may still make files
    except OSError as error:
        if error.errno in CLOSED:
            raise OutputError(f"folder {folder} is not open for writing; choose another") from error
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another name or folder") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def check_inputs_stay(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """No result replaces what it is made from, under whatever name or link.

    Raises:
        OutputError: one of the outputs is one of the inputs.
    """
    sources = [path for path in inputs if path.exists()]
    for path in filter(Path.exists, outputs):
        if any(path.samefile(source) for source in sources):
            raise OutputError(f"{path} is an input of this run; give the result another name")


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
        self._part = claim_temporary(self.path)
        if not self.path.parent.is_dir():
            raise OutputError(f"folder {self.path.parent} does not exist")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._dataset = rasterio.open(
                    self._part, "w", driver="GTiff", height=geobox.shape[0], width=geobox.shape[1], count=count,
                    dtype=dtype, nodata=nodata, crs=None if geobox.crs is None else str(geobox.crs.to_wkt()),
                    transform=geobox.affine, tiled=True, blockysize=block_px[0], blockxsize=block_px[1],
                    compress=compress, bigtiff="IF_SAFER", sparse_ok=True, **profile,
                )  # fmt: skip
            if tags:
                self._dataset.update_tags(**tags)
        except (*GDAL_ERRORS, OSError) as error:
            self._part.unlink(missing_ok=True)
            raise OutputError(f"cannot write {self.path}: {one_line(error)}") from error

    def write(self, array: NDArray[Any], row: int, col: int) -> None:
        """Write ``array`` (count, H, W) or (H, W) with its upper left pixel at (row, col)."""
        array = array if array.ndim == 3 else array[None]
        window = RioWindow(col, row, array.shape[2], array.shape[1])
        try:
            self._dataset.write(array, window=window)
        except (*GDAL_ERRORS, OSError, ValueError) as error:
            raise OutputError(f"cannot write {self.path}: {one_line(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._dataset.close()
            if kind is None:
                _check_written(self._part, self.path)
                self._part.replace(self.path)
        except OutputError:
            raise
        except (*GDAL_ERRORS, OSError) as failure:
            if kind is None:  # else the error on its way says more
                raise OutputError(f"cannot write {self.path}: {one_line(failure)}") from failure
        finally:
            self._part.unlink(missing_ok=True)


class RasterCopy(RasterWriter):
    """A copy of a GeoTIFF in which some blocks are written anew, which costs nothing for all others.

    Args:
        path: final name.
        original: what is copied; it stays as it is.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, original: Path) -> None:
        self.path = Path(path)
        self._part = claim_temporary(self.path)
        try:
            shutil.copyfile(original, self._part)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._dataset = rasterio.open(self._part, "r+")
        except (*GDAL_ERRORS, OSError) as error:
            self._part.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or one_line(error)
            raise OutputError(f"cannot write {self.path}: {reason}") from error


@dataclass(frozen=True)
class Meaning:
    """What the values of a raster of one band are: ``value * scale + offset`` in ``unit``."""

    description: str
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0


@cache
def quick_compression() -> dict[str, Any]:
    """Creation options of rasters that last as long as a run: Zstandard where GDAL was built with it, which packs large
    areas of one value much faster than Deflate."""
    quick = {"compress": "zstd", "zstd_level": 1}
    try:
        with warnings.catch_warnings(), MemoryFile() as file:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", **quick).close()
    except GDAL_ERRORS:
        return {"compress": "deflate", "zlevel": 1}
    return quick


def write_cog(
    src_path: Path, dst_path: Path, *, meaning: Meaning | None = None, overviews: str = "average", **options: Any
) -> None:
    """Copy a raster to a cloud-optimised GeoTIFF with statistics, block by block; it has its name when it is complete.

    Args:
        meaning: what is said of its band.
        overviews: GDAL resampling of the overviews; nodata weighs nothing in an average.
        options: further creation options of GDAL's COG driver.

    Raises:
        OutputError: it cannot be written.
    """
    part = claim_temporary(Path(dst_path))
    if not part.parent.is_dir():
        raise OutputError(f"folder {part.parent} does not exist")
    try:
        with gdal_environment(), warnings.catch_warnings(), MemoryFile(ext=".vrt") as described:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            copy(src_path, described.name, driver="VRT")
            if meaning is not None:
                with rasterio.open(described.name, "r+") as dataset:
                    dataset.descriptions, dataset.units = (meaning.description,), (meaning.unit,)
                    dataset.scales, dataset.offsets = (meaning.scale,), (meaning.offset,)
            copy(
                described.name, part, driver="COG", compress="deflate", bigtiff="IF_SAFER",
                overview_resampling=overviews, statistics="YES", **options,
            )  # fmt: skip
        _check_written(part, dst_path)
        part.replace(dst_path)
    except OutputError:
        raise
    except (*GDAL_ERRORS, OSError) as error:
        raise OutputError(f"cannot write {dst_path}: {one_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then move it into place.

    Raises:
        OutputError: it cannot be written.
    """
    part = claim_temporary(path)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _check_written(part: Path, path: Path) -> None:
    """GDAL does not report what fails while a file is closed, as on a full disk."""
    try:
        with rasterio.open(part) as dataset:
            check_complete(dataset, tuple(dataset.indexes))
    except (*GDAL_ERRORS, SceneError) as error:
        raise OutputError(f"cannot write {path}: it came out incomplete; is the disk full?") from error
