"""Images that Python holds, arrays and open datasets, as GeoTIFFs that everything else can read."""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from uvsam.errors import OutputError, SceneError, SettingsError
from uvsam.raster.access import GDAL_ERRORS, gdal_environment, one_line

STEP_PX = 2048
"""About the side of what is written at once."""
NARROW_PX = 16
"""An array that has fewer columns, and more bands than columns, has its bands last."""
TAGS = ("ACQUIRED", "TIFFTAG_DATETIME")
Edges = tuple[int, ...]


@dataclass(frozen=True)
class Pixels:
    """An image in memory, or one that is computed piece by piece.

    Attributes:
        shape: (bands, rows, columns).
        read: from slices of rows and columns to (bands, h, w).
        transform, crs: where it lies, crs as WKT; None where it does not say.
        nodata: value of pixels without data, in a band.
        valid: from slices of rows and columns to (h, w), False where there are no data; None: ``nodata`` says it all.
        names: of the bands; none where the file gives none.
        tags: what a file would say in its tags.
        edges: rows and columns at which it is cut into pieces.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[slice, slice], NDArray[Any]]
    edges: tuple[Edges, Edges]
    transform: Any = None
    crs: str | None = None
    nodata: float | None = None
    valid: Callable[[slice, slice], NDArray[np.bool_]] | None = None
    names: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"an array {self.shape} of {self.dtype}"


def of_array(image: Any, *, transform: Any = None, crs: Any = None, nodata: float | None = None) -> Pixels:
    """A numpy or Dask array (bands, rows, columns).

    Args:
        transform: :class:`affine.Affine`, from (column, row) to coordinates.
        crs: what these mean: all that pyproj takes, as ``"EPSG:32643"`` or 32643.
        nodata: value of pixels without data. Of a masked array what is masked has none, in any band.

    Raises:
        SceneError: it cannot be an image.
        SettingsError: transform, crs or nodata cannot be used.
    """
    check_shape(image.shape, image.dtype)
    chunks = getattr(image, "chunks", None)
    found = Pixels(
        shape=tuple(image.shape), dtype=image.dtype, edges=_edges(image.shape[1:], chunks and chunks[1:]),
        read=lambda rows, cols: np.asarray(image[:, rows, cols]), transform=_checked(transform),
        crs=None if crs is None else _wkt(crs), nodata=nodata,
    )  # fmt: skip
    if not isinstance(image, np.ma.MaskedArray) or not np.any(image.mask):
        return found
    data, mask = np.ma.getdata(image), np.ma.getmaskarray(image)
    filled = image.fill_value if nodata is None else nodata
    found = replace(found, read=lambda rows, cols: data[:, rows, cols])
    if _is(data, filled)[mask].all() and in_dtype_range(filled, data.dtype):
        return replace(found, nodata=float(filled))  # as rasterio masks a band: nothing is lost
    valid: NDArray[np.bool_] = np.logical_not(np.any(mask, axis=0))
    return replace(found, valid=lambda rows, cols: valid[rows, cols])


def of_xarray(image: Any) -> Pixels:
    """An ``xarray.DataArray`` as rioxarray, odc-stac and stackstac give it, or a Dataset of red, green and blue.

    Raises:
        SceneError: it cannot be an image.
        TypeError: a Dataset without these three.
    """
    image = spatial(image)
    geobox = image.odc.geobox
    if geobox is None or geobox.crs is None:
        raise SceneError("the array has no coordinate reference system; write one with .rio.write_crs() or .odc")
    check_shape(image.shape, image.dtype)
    band = image.dims[0]
    labels = image.coords[band].values if band in image.coords else ()
    said = labels if np.asarray(labels).dtype.kind in "UO" else image.attrs.get("long_name", ())
    names = tuple(map(str, said)) if not isinstance(said, str) and len(said) == image.shape[0] else ()
    chunks = image.chunks
    return Pixels(
        shape=image.shape, dtype=_stored(image), edges=_edges(image.shape[1:], chunks and chunks[1:]),
        read=lambda rows, cols: np.asarray(image[:, rows, cols].values), transform=geobox.affine,
        crs=geobox.crs.to_wkt(), nodata=_nodata_of(image), names=names, tags=_tags(image),
    )  # fmt: skip


def spatial(image: Any) -> Any:
    """A DataArray (band, y, x) of a DataArray or Dataset of these dimensions in any order, and of one time.

    Raises:
        SceneError: of several times, or with other dimensions.
        TypeError: a Dataset that does not say which of its variables are red, green and blue.
    """
    import odc.geo.xr  # noqa: F401  # gives arrays their .odc

    if type(image).__name__ == "Dataset":
        image = _of_dataset(image)
    dims = image.odc.spatial_dims
    if dims is None:
        raise SceneError(f"dimensions should be (band, y, x), not {image.dims}")
    others = [name for name in image.dims if name not in dims]
    dated = [name for name in others if image[name].dtype.kind == "M" or (name == "time" and len(others) > 1)]
    for name in dated:
        if image.sizes[name] != 1:
            raise SceneError(f"the array holds {image.sizes[name]} times; choose one: .isel({name}=0)")
        image = image.isel({name: 0})
        others.remove(name)
    if len(others) != 1:
        raise SceneError(f"dimensions should be (band, {', '.join(dims)}), not {image.dims}")
    return image.transpose(others[0], *dims)


def write_pixels(pixels: Pixels, path: Path) -> None:
    """Write an image to a GeoTIFF, piece by piece.

    Raises:
        SceneError: its type of number cannot be written.
        SettingsError: its type cannot have this nodata value.
        OutputError: the disk is full.
    """
    kind = pixels.dtype
    if kind.kind == "f":
        kind = np.dtype(np.float32 if kind.itemsize <= 4 else np.float64)
    try:
        _write(replace(pixels, dtype=kind.newbyteorder("=")), path)
    except _NotStored as error:  # the array was computed with, and only says what it was read from
        _write(replace(pixels, dtype=np.dtype(error.args[0]), nodata=None), path)


def dataset_uri(dataset: Any, path: Path) -> str:
    """The name under which an open rasterio dataset can be opened again; one that has none is copied to ``path``.

    Raises:
        SceneError: it is closed, is being written, or cannot be read.
    """
    if dataset.closed:
        raise SceneError(f"the dataset {dataset.name} is closed; open it again, or give its path")
    if dataset.mode != "r":
        raise SceneError(f"the dataset {dataset.name} is open for writing; close it, and give its path")
    if not isinstance(dataset, WarpedVRT) and not str(dataset.name).startswith("/vsimem/") and _opens_alike(dataset):
        return str(dataset.name)
    try:
        with gdal_environment(), warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            copy(dataset, path, driver="GTiff", tiled=True, bigtiff="IF_SAFER")
    except (*GDAL_ERRORS, OSError) as error:
        raise SceneError(f"cannot read the dataset {dataset.name}: {one_line(error)}") from error
    return str(path)


def check_shape(shape: Sequence[int], dtype: Any) -> None:
    """Whether an array can be an image.

    Raises:
        SceneError: what it is, and how it becomes one.
    """
    shape = tuple(map(int, shape))
    if np.dtype(dtype).kind not in "iuf":
        radar = " (radar?)" if np.dtype(dtype).kind == "c" else ""
        raise SceneError(f"an image is of integer or floating numbers, not of {np.dtype(dtype)}{radar}")
    if len(shape) == 4 and shape[0] == 1:
        raise SceneError(f"an image is (bands, rows, columns); of this batch {shape} give the image: image[0]")
    if len(shape) == 3 and shape[2] <= NARROW_PX and shape[0] > shape[2]:
        raise SceneError(
            f"the array {shape} looks like (rows, columns, bands); an image is (bands, rows, columns): "
            "np.moveaxis(image, -1, 0)"
        )
    if len(shape) != 3 or shape[0] < 3:
        raise SceneError(f"an image is (bands, rows, columns) with three bands at least, not {shape}")
    if 0 in shape:
        raise SceneError(f"the array {shape} has no pixels")


class _NotStored(Exception):
    """An array has other values than the type of file that it says it was read from; its argument is the own type."""


def _write(pixels: Pixels, path: Path) -> None:
    count, height, width = pixels.shape
    if pixels.nodata is not None and not in_dtype_range(pixels.nodata, pixels.dtype):
        raise SettingsError(f"{pixels} cannot have the nodata value {pixels.nodata:g}")
    place = {} if pixels.transform is None else {"transform": pixels.transform}
    try:
        with (
            gdal_environment(),
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype.name,
                nodata=pixels.nodata, crs=pixels.crs, tiled=True, blockxsize=512, blockysize=512,
                bigtiff="IF_SAFER", photometric="MINISBLACK", alpha="NO", **place,
            ) as file:  # fmt: skip
                if pixels.names:
                    file.descriptions = pixels.names
                    is_alpha = [name.lower() == "alpha" for name in pixels.names]
                    file.colorinterp = [ColorInterp.alpha if one else ColorInterp.undefined for one in is_alpha]
                file.update_tags(**dict(pixels.tags))
                for rows, cols in _pieces(pixels.edges):
                    window = RioWindow(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
                    file.write(_as_stored(pixels.read(rows, cols), pixels), window=window)
                    if pixels.valid:
                        file.write_mask(pixels.valid(rows, cols), window=window)
    except (*GDAL_ERRORS, OSError) as error:
        raise OutputError(f"cannot write {path}: {one_line(error)}") from error


def _as_stored(values: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """A piece in the type of the file; NaN of a masked array becomes its nodata value again."""
    if values.dtype.kind != "f" or pixels.dtype.kind == "f":
        return values.astype(pixels.dtype, copy=False)
    gaps = np.isnan(values)
    if pixels.nodata is not None:
        values = np.where(gaps, pixels.nodata, values)
    with np.errstate(invalid="ignore"):
        stored = values.astype(pixels.dtype)
    if not np.array_equal(stored, values):
        raise _NotStored(values.dtype.name)
    return stored


def _pieces(edges: tuple[Edges, Edges]) -> Iterator[tuple[slice, slice]]:
    rows, cols = ([slice(*pair) for pair in itertools.pairwise(one)] for one in edges)
    return itertools.product(rows, cols)


def _edges(shape: Sequence[int], chunks: Any) -> tuple[Edges, Edges]:
    """Where an image is cut: between chunks, of which no part is computed twice."""
    found = []
    for side, sizes in zip(shape, chunks or (None, None), strict=True):
        borders = range(STEP_PX, side, STEP_PX) if sizes is None else itertools.accumulate(sizes)
        edges = [0]
        for border in borders:
            if border - edges[-1] >= STEP_PX and border < side:
                edges.append(int(border))
        found.append((*edges, int(side)))
    return found[0], found[1]


def _of_dataset(image: Any) -> Any:
    names = {str(name).lower(): name for name in image.data_vars}
    wanted = [names.get(colour) for colour in ("red", "green", "blue")]
    if None not in wanted:
        kinds = {image[name].dtype for name in wanted}
        if len(kinds) > 1:
            raise SceneError(f"red, green and blue are of different types: {', '.join(sorted(map(str, kinds)))}")
        array = image[wanted].to_array("band")
        array.attrs, array.encoding = dict(image[wanted[0]].attrs), dict(image[wanted[0]].encoding)
        return array
    if len(names) == 1:
        return image[next(iter(names.values()))]
    held = ", ".join(map(str, image.data_vars)) or "none"
    raise TypeError(
        f"a Dataset needs variables red, green and blue, and this one has {held}; choose three: "
        "dataset[[RED, GREEN, BLUE]].to_array('band')"
    )


def _stored(image: Any) -> np.dtype[Any]:
    """The type of the file that a masked DataArray was read from, as ``rio.to_raster`` would write it; else its own."""
    said = image.encoding.get("rasterio_dtype", image.encoding.get("dtype"))
    kind: np.dtype[Any] = image.dtype
    scaled = image.encoding.get("scale_factor", 1) != 1 or image.encoding.get("add_offset", 0) != 0
    if said is not None and not scaled and kind.kind == "f" and np.dtype(said).kind in "iu":
        kind = np.dtype(said)
    return kind


def _nodata_of(image: Any) -> float | None:
    for said in (image.attrs, image.encoding):
        for name in ("_FillValue", "nodata", "missing_value"):
            value = said.get(name)
            if isinstance(value, int | float | np.number) and in_dtype_range(value, _stored(image)):
                return float(value)
    return None


def _tags(image: Any) -> tuple[tuple[str, str], ...]:
    """The day: that of its time, else what the tags of its file said."""
    for name in {"time", "t", "date", "datetime"} & {*image.coords}:
        when = image.coords[name].values
        if when.ndim == 0 and when.dtype.kind == "M" and not np.isnat(when):
            return (("ACQUIRED", str(when.astype("datetime64[D]"))),)
    return tuple((name, str(image.attrs[name])) for name in TAGS if name in image.attrs)


def _is(data: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(data) if value != value else data == value
    return found


def _checked(transform: Any) -> Any:
    if transform is not None and not isinstance(transform, rasterio.Affine):
        raise SettingsError(
            f"transform is an affine.Affine, not {type(transform).__name__}; of six numbers of GDAL: "
            "Affine.from_gdal(*numbers)"
        )
    return transform


def _wkt(crs: Any) -> str:
    try:
        return str(CRS.from_user_input(crs).to_wkt())
    except CRSError:
        raise SettingsError(f"'{crs}' is no coordinate reference system; give one as EPSG:32643") from None


def _opens_alike(dataset: Any) -> bool:
    """Whether the name of a dataset is all that is needed to open it once more, as it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(dataset.name) as again:
                return _header(again) == _header(dataset)
    except (*GDAL_ERRORS, OSError, ValueError):
        return False


def _header(dataset: DatasetReader) -> tuple[Any, ...]:
    nodata = [repr(value) for value in dataset.nodatavals]
    return dataset.driver, dataset.shape, dataset.dtypes, dataset.transform, dataset.crs, nodata, dataset.colorinterp
