"""Opening a dataset with GDAL."""

import html
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RioWindow

from uvsam.addresses import without_secrets
from uvsam.errors import SceneError
from uvsam.raster.names import exists, gdal_name, is_on_network, on_disk, parse
from uvsam.raster.trust import DRIVERS, NEVER
from uvsam.raster.web import BESIDE, http_address, is_signed, looks
from uvsam.raster.window import Window

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
CACHE_BYTES = 128 * 2**20
"""Holds what neighbouring rows of tiles share, up to some 20,000 pixels of RGB a row. Of a wider image blocks are
decoded twice, which is little beside the network."""
SOURCE = re.compile(r"<SourceFilename[^>]*>([^<]+)<")


def sources(uri: str) -> list[str]:
    """The rasters that an image is read from: those named in a VRT that is given as text, else the one."""
    if not uri.startswith("<"):
        return [uri]
    named = (html.unescape(name) for name in SOURCE.findall(uri))
    return list(dict.fromkeys(source for name in named for source in sources(name)))


def in_any_folder(uri: str) -> str:
    """The same image, for a process with another working folder."""
    if uri.startswith("<"):
        return SOURCE.sub(
            lambda found: found[0].replace(found[1], html.escape(in_any_folder(html.unescape(found[1])), quote=False)),
            uri,
        )
    try:
        name = parse(gdal_name(uri))
    except SceneError:
        return uri
    return name.of(str(Path(name.file).absolute())) if exists(name.file) else uri


def name_of(uri: str) -> str:
    """How messages call an image: by its path or url, and a mosaic by that of its first file."""
    first, *others = sources(uri) or ["a VRT"]
    first = without_secrets(first)
    return f"{first} and {len(others)} more" if others else first


def is_remote(uri: str) -> bool:
    """True for a uri that is read over the network (``https://``, ``s3://``, ``/vsicurl/`` ...)."""
    return any(map(is_on_network, sources(uri)))


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
        options |= {"GDAL_HTTP_MAX_RETRY": 3, "GDAL_HTTP_RETRY_DELAY": 1, **_of_web(sources(uri))}
    return rasterio.Env(**options)


def _of_web(names: Sequence[str]) -> dict[str, Any]:
    """Which names GDAL may look for beside remote files: those that are there. Of object stores it finds out itself."""
    found = looks(names)
    stores = any(http_address(name) is None for name in names)
    endings = {ending for _, look in found for ending in look.beside} | set(BESIDE if stores else ())
    options: dict[str, Any] = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    if endings and not any(map(is_signed, names)):
        own = {PurePosixPath(name).suffix or PurePosixPath(name).name for name in names}
        options = {
            "GDAL_DISABLE_READDIR_ON_OPEN": True,
            "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ",".join(sorted(own | endings)),
        }
    if not all(look.answers_head for _, look in found):
        options["CPL_VSIL_CURL_USE_HEAD"] = False
    return options


@contextmanager
def open_dataset(uri: str, driver: str | None = None, *, overviews: bool = True) -> Iterator[Any]:
    """The rasterio dataset of ``uri``, in a GDAL environment with a bounded block cache.

    Args:
        driver: the only format it may have, by its GDAL name.
        overviews: use those of the file where pixels are read decimated.

    Raises:
        SceneError: it cannot be opened, or GDAL fails inside the ``with`` block.
    """
    with gdal_environment(uri):
        try:
            with opened(uri, driver, overviews=overviews) as dataset:
                yield dataset
        except GDAL_ERRORS as error:  # from a question to the dataset; reads have an error of their own
            raise SceneError(f"cannot read {name_of(uri)}: {one_line(error)}") from error


def opened(uri: str, driver: str | None = None, *, overviews: bool = True) -> Any:
    """The rasterio dataset of ``uri``, to be closed; called in a GDAL environment.

    Raises:
        SceneError: it cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            options = {} if overviews else {"OVERVIEW_LEVEL": "NONE"}
            return _open(gdal_name(uri), [driver] if driver else DRIVERS, options)
    except (*GDAL_ERRORS, OSError, ValueError) as error:
        raise SceneError(f"cannot open {name_of(uri)}: {one_line(error)}") from error


@ensure_env_with_credentials  # type: ignore[untyped-decorator]  # as rasterio.open, which does not take several drivers
def _open(name: str, drivers: list[str], options: dict[str, str]) -> Any:
    return DatasetReader(name, driver=drivers, **options)


def local_files(uri: str) -> list[Path]:
    """The files that an image is made of, as far as they lie on this machine."""
    names = []
    for source in sources(uri):
        if not is_remote(source):
            with open_dataset(source) as dataset:
                names += [source, *dataset.files]
    found = (on_disk(name) for name in dict.fromkeys(names))
    return [Path(name) for name in dict.fromkeys(found) if name]


def read_window(dataset: Any, window: Window) -> NDArray[Any]:
    """The first band (h, w) in a window inside the dataset, as it is."""
    values: NDArray[Any] = dataset.read(1, window=RioWindow(window.col, window.row, window.width, window.height))
    return values


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


def one_line(error: BaseException) -> str:
    """What GDAL said about a failure, without line breaks."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split()) or type(error).__name__
