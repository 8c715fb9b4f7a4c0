"""What Python gives, as the files that workflows take: arrays, open datasets and frames become files for a while."""

import inspect
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.io import BufferedDatasetWriter, DatasetReader, DatasetWriter
from rasterio.vrt import WarpedVRT
from shapely.geometry.base import BaseGeometry

from uvsam.errors import LabelError, SettingsError, UvsamError
from uvsam.raster import arrays
from uvsam.vectors.periods import KEPT
from uvsam.vectors.schema import COVERAGE, VILLAGES

if TYPE_CHECKING:
    import xarray as xr

Location: TypeAlias = str | os.PathLike[str]
Named: TypeAlias = "Location | DatasetReader | WarpedVRT | xr.DataArray | xr.Dataset"
"""An image that says where it lies."""
Image: TypeAlias = "Named | NDArray[Any]"
Area: TypeAlias = Location | gpd.GeoDataFrame | gpd.GeoSeries | BaseGeometry
LISTED = "a path or url, an open rasterio dataset or an xarray.DataArray"
DATED = (*KEPT, "period", "acquired")
"""Columns of a village layer that a trend reads."""


class Given:
    """Files that stand for what Python gave, in a folder that is gone afterwards.

    Args:
        beside: a result, in whose folder they lie, so that workers elsewhere see them too; None: a temporary folder.

    Attributes:
        called: what each file is, in the words of messages and metadata.
    """

    def __init__(self, beside: Path | None = None) -> None:
        self._parent = beside.absolute().parent if beside and beside.absolute().parent.is_dir() else None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.called: dict[str, str] = {}

    def path(self, name: str, called: str) -> Path:
        """Where a file is to be written that stands for something else."""
        if self._folder is None:
            parent = self._parent if self._parent and os.access(self._parent, os.W_OK | os.X_OK) else None
            self._folder = tempfile.TemporaryDirectory(prefix=".uvsam-given.", dir=parent, ignore_cleanup_errors=True)
        path = Path(self._folder.name) / name
        self.called[str(path)] = called
        return path

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

    def images(
        self, images: Any, *, transform: Any = None, crs: Any = None, nodata: float | None = None
    ) -> str | list[str]:
        """Names of images.

        Raises:
            TypeError: something that is no image.
            SceneError, SettingsError: an array or a dataset that cannot be one.
        """
        if isinstance(images, list | tuple) or (isinstance(images, Iterator) and not _is_image(images)):
            several = list(images)
            for one in several:
                if not _is_image(one) or holds_no_place(one):
                    raise TypeError(f"several images should be {LISTED} each, not {_told(one)}")
            names = [self._image(one) for one in several]
            if transform is not None or crs is not None:
                raise SettingsError("transform and crs belong to an array; images of files say theirs themselves")
            return names
        if not _is_image(images):
            raise TypeError(
                f"images should be {LISTED}, several of these, or an array (bands, rows, columns), "
                f"not {_told(images)}{_remedy(images)}"
            )
        if not holds_no_place(images):
            if transform is not None or crs is not None:
                raise SettingsError("transform and crs belong to an array; this image says where it lies itself")
            return self._image(images)
        return self._write(arrays.of_array(images, transform=transform, crs=crs, nodata=nodata))

    def _image(self, image: Any) -> str:
        if isinstance(image, DatasetReader | WarpedVRT) or _is_writer(image):
            return arrays.dataset_uri(image, self.path(f"dataset_{len(self.called)}.tif", f"the dataset {image.name}"))
        if isinstance(image, str | os.PathLike):
            return text_of(image)
        return self._write(arrays.of_xarray(image))

    def _write(self, pixels: arrays.Pixels) -> str:
        path = self.path(f"array_{len(self.called)}.tif", str(pixels))
        arrays.write_pixels(pixels, path)
        return str(path)

    def area(self, area: Any, name: str, images: Callable[[], Any] | None = None) -> Path | None:
        """Name of a file of polygons.

        Args:
            name: that of the argument, for messages.
            images: opens the scene whose CRS a geometry without one has; None: it must have one.

        Raises:
            TypeError: something that is no area.
        """
        if area is None or isinstance(area, str | os.PathLike):
            return None if area is None else Path(text_of(area))
        if isinstance(area, BaseGeometry) and images is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they come again, when the image is opened for the run
                crs = images().geobox.crs
            area = gpd.GeoSeries([area], crs=None if crs is None else crs.to_wkt())
        if not isinstance(area, gpd.GeoDataFrame | gpd.GeoSeries):
            geometry = ", a shapely geometry in the CRS of the image" if images is not None else ""
            raise TypeError(f"{name} should be a path, a GeoDataFrame or GeoSeries{geometry}, not {_told(area)}")
        columns = {}
        if isinstance(area, gpd.GeoDataFrame):
            columns = {key: area[key].astype("string").to_numpy() for key in _names_of(area)}
        return self._frame(area, f"{name}.gpkg", name, columns, name)

    def layer(self, layer: Any, number: int) -> Path:
        """Name of a village layer of a trend.

        Raises:
            TypeError: something that is none.
            LabelError: a frame without geometries.
        """
        if isinstance(layer, str | os.PathLike):
            return Path(text_of(layer))
        if not isinstance(layer, gpd.GeoDataFrame | gpd.GeoSeries):
            raise TypeError(f"layers should be paths or GeoDataFrames, and number {number} is {_told(layer)}")
        columns = {}
        if isinstance(layer, gpd.GeoDataFrame):
            columns = {name: _plain(layer[name]) for name in DATED if name in layer.columns}
        called = f"layer {number}"
        path = self._frame(layer, f"layer_{number}.gpkg", called, columns, VILLAGES.name)
        if ground := layer.attrs.get("coverage"):
            coverage = gpd.GeoDataFrame(geometry=gpd.GeoSeries.from_wkt([ground], crs=layer.crs))
            _save(coverage, path, COVERAGE.name)
        return path

    def _frame(self, frame: Any, name: str, called: str, columns: dict[str, Any], layer: str) -> Path:
        try:
            geometry = frame.geometry
        except AttributeError:
            raise LabelError(f"{called} has no geometries; say with set_geometry() which column has them") from None
        path = self.path(name, called)
        made = gpd.GeoDataFrame(columns, geometry=geometry.to_numpy(), crs=geometry.crs)
        _save(made, path, layer)
        return path


@contextmanager
def given(function: Callable[..., Any], beside: Path | None = None) -> Iterator[Given]:
    """Files for the time of a call; errors and warnings in it speak of what was given, and of arguments, not options.

    Args:
        function: whose arguments are the options of the command line.
    """
    files = Given(beside)
    show = warnings.showwarning

    def show_in_python(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        said = _in_python(str(message), files.called, function)
        show(message if said == str(message) else category(said), category, *where, **more)

    try:
        warnings.showwarning = show_in_python
        yield files
    except UvsamError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (_in_python(error.args[0], files.called, function), *error.args[1:])
        raise
    finally:
        warnings.showwarning = show
        files.close()


def _in_python(message: str, called: dict[str, str], function: Callable[..., Any]) -> str:
    for path, name in called.items():
        message = message.replace(path, name)
    parameters = inspect.signature(function).parameters

    def argument(found: re.Match[str]) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        if name not in parameters:
            return found[0]
        if isinstance(parameters[name].default, bool):
            return f"{name}=True{value or ''}"
        return f"{name}={(value or '').strip() or '...'}"

    return re.sub(r"--([a-z][a-z0-9-]*)( [A-Z][A-Z0-9,]*\b)?", argument, message)


def path_of(name: str, value: Any) -> Path | None:
    """A path, of an argument that takes nothing else.

    Raises:
        TypeError: it is none.
    """
    if value is None or isinstance(value, str | os.PathLike):
        return None if value is None else Path(text_of(value))
    raise TypeError(f"{name} should be a path, not {_told(value)}")


def several(layers: Any) -> Sequence[Any]:
    """Layers, of which one may stand alone."""
    if isinstance(layers, str | os.PathLike | gpd.GeoDataFrame | gpd.GeoSeries):
        return [layers]
    if isinstance(layers, dict) or not isinstance(layers, Iterable) or isinstance(layers, bytes | pd.DataFrame):
        raise TypeError(f"layers should be a list of paths or GeoDataFrames, not {_told(layers)}")
    return list(layers)


def _save(frame: gpd.GeoDataFrame, path: Path, layer: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*crs.* was not provided")
        frame.to_file(path, layer=layer, driver="GPKG", engine="pyogrio")


def _names_of(frame: gpd.GeoDataFrame) -> list[Any]:
    """Columns that hold text: among them the names of zones."""
    others = [key for key in frame.columns if not isinstance(frame[key], gpd.GeoSeries)]
    return [key for key in others if isinstance(key, str) and key.lower() not in ("fid", "geom", "geometry")]


def _plain(column: pd.Series) -> Any:
    """Values of a column as a file has them: days of any type as text, other things as they are."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype) or column.dtype == object:
        return column.astype("string").to_numpy()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_localize(None).to_numpy()
    return column.to_numpy()


def text_of(path: Any) -> str:
    """A path or name as text.

    Raises:
        TypeError: it is none.
    """
    text = os.fspath(path)
    if isinstance(text, bytes):
        raise TypeError(f"a path is text, not bytes: {text!r}")
    return str(text)


def holds_no_place(image: Any) -> bool:
    """Whether an image is an array of numpy or Dask, which says nothing but its numbers."""
    return isinstance(image, np.ndarray) or type(image).__module__.startswith("dask.array")


def _is_writer(image: Any) -> bool:
    return isinstance(image, DatasetWriter | BufferedDatasetWriter)


def _is_image(image: Any) -> bool:
    if isinstance(image, str | os.PathLike | DatasetReader | WarpedVRT) or holds_no_place(image) or _is_writer(image):
        return True
    return type(image).__module__.startswith("xarray.") and type(image).__name__ in ("DataArray", "Dataset")


def _told(value: Any) -> str:
    kind = type(value)
    if value is None or isinstance(value, bool | int | float | bytes):
        return f"{value!r}"[:40]
    module = "" if kind.__module__ == "builtins" else kind.__module__.split(".")[0] + "."
    return f"{module}{kind.__qualname__}"


def _remedy(value: Any) -> str:
    module = type(value).__module__.split(".")[0]
    if module == "torch":
        return "; give image.numpy()"
    if module == "PIL":
        return "; give np.moveaxis(np.asarray(image), -1, 0) with transform and crs, or the path of a GeoTIFF"
    if type(value).__name__ == "MemoryFile":
        return "; give what its open() returns"
    return ""
