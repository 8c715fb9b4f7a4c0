"""Truth that is a raster of labels: compared pixel by pixel on its own grid, and turned into objects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import MaskFlags
from rasterio.features import rasterize, shapes
from rasterio.windows import Window, transform
from shapely.affinity import affine_transform

from uvsam.errors import LabelError, SceneError
from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.pixels import count_pixels
from uvsam.progress import Progress, silent
from uvsam.raster.guarded import open_guarded
from uvsam.vectors.polygon_files import PolygonLayer, place

OTHER, VILLAGE, IGNORED = 0, 1, 2
STRIP_PX = 2**23


@dataclass(frozen=True)
class LabelRaster:
    """A raster of labels and what its values mean.

    Args:
        path: any raster GDAL reads; its first band is used.
        village: values of the village class. None: 1, and then nothing but 0, 1 and ignored values may occur.
        ignore: values without a label, besides the raster's own nodata.
        nodata_is_label: the raster's nodata is a value like any other.
    """

    path: Path
    village: tuple[int, ...] | None = None
    ignore: tuple[int, ...] = ()
    nodata_is_label: bool = False

    @contextmanager
    def open(self) -> Iterator[Any]:
        try:
            with open_guarded(self.path) as dataset:
                if dataset.count > 1 and not self._is_mask_band(dataset):
                    raise LabelError(f"{self.path} has {dataset.count} bands; labels are a raster of one band")
                yield dataset
        except SceneError as error:
            raise LabelError(f"{self.path} cannot be read as a raster: {error}") from error

    @staticmethod
    def _is_mask_band(dataset: Any) -> bool:
        return bool(dataset.count == 2 and dataset.colorinterp[1] == rasterio.enums.ColorInterp.alpha)

    def crs(self) -> CRS | None:
        """Where the raster is; None without georeference."""
        with self.open() as dataset:
            return place(None if dataset.crs is None else CRS.from_user_input(dataset.crs))

    def extent(self) -> PolygonLayer:
        """The outline of the raster."""
        with self.open() as dataset:
            return PolygonLayer(np.array([_outline(dataset.shape, dataset.transform)]), self.crs())

    def read(self, dataset: Any, window: Window) -> NDArray[np.uint8]:
        """A window of the raster, as :meth:`classify` gives it."""
        labels = dataset.read(1, window=window)
        if not self.nodata_is_label or MaskFlags.nodata not in dataset.mask_flag_enums[0]:
            mask = dataset.read_masks(1, window=window)
        elif self._is_mask_band(dataset):
            mask = dataset.read(2, window=window)
        else:
            mask = np.ones(labels.shape, np.uint8)
        return self.classify(labels, mask)

    def leaves_out_zeros(self, dataset: Any) -> bool:
        """Whether 0 is left out for being nodata, although nobody said that it does not mean "no village"."""
        masked_by_zero = MaskFlags.nodata in dataset.mask_flag_enums[0] and dataset.nodata == 0
        return masked_by_zero and not self.nodata_is_label and 0 not in self.ignore

    def classify(self, labels: NDArray[Any], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels (H, W) as 0 other, 1 village, 2 ignored; ``mask`` (H, W) is 0 where the raster has no data."""
        classes = np.isin(labels, self.village or (1,)).astype(np.uint8)
        classes[np.isin(labels, self.ignore) | (mask == 0)] = IGNORED
        if self.village is None:
            strange = np.setdiff1d(labels[classes == 0], [0])
            if len(strange):
                some = ", ".join(f"{value:g}" for value in strange[:8])
                raise LabelError(
                    f"{self.path} has the value {some}: name the village class with --truth-value, "
                    "or unlabelled values with --ignore-value"
                )
        return classes


def _outline(shape: tuple[int, int], affine: Any) -> Any:
    height, width = shape
    return affine_transform(shapely.box(0, 0, width, height), affine.to_shapely())


@dataclass(frozen=True)
class RasterTruth:
    """What a label raster holds: pixel counts against a prediction, true objects, and ground without a label."""

    pixels: Confusion
    villages: PolygonLayer
    ignored: PolygonLayer


def compare_with_raster(
    raster: LabelRaster, predicted: PolygonLayer, inside: Sequence[PolygonLayer], progress: Progress = silent
) -> RasterTruth:
    """Compare polygons with a label raster, in strips of rows, and collect the raster's objects.

    A pixel is predicted, or inside, when its centre is. Objects are 4-connected.

    Args:
        raster: the truth.
        predicted: polygons of the village class.
        inside: pixels outside any one of these layers are not counted (coverage, area of interest).
        progress: called per strip.

    Raises:
        LabelError: the raster cannot be read, has values nobody named, or its nodata leaves nothing but village.
    """
    crs = raster.crs()
    bounds = shapely.total_bounds(raster.extent().polygons)
    villages = predicted.to_crs(crs, near=bounds)
    limits = [layer.to_crs(crs, near=bounds) for layer in inside]
    counts, has_other = Confusion(), False
    with TemporaryDirectory(prefix="uvsam-") as folder, raster.open() as dataset:
        path = Path(folder) / "classes.tif"
        profile = {
            "driver": "GTiff", "height": dataset.height, "width": dataset.width, "count": 1, "dtype": "uint8",
            "transform": dataset.transform, "compress": "deflate", "bigtiff": "IF_SAFER",
        }  # fmt: skip
        painters = [_Painter(villages), *map(_Painter, limits)]
        with rasterio.open(path, "w", **profile) as copy:
            windows = list(_strips(dataset))
            for done, window in enumerate(windows, start=1):
                classes = raster.read(dataset, window)
                has_other = has_other or bool((classes == OTHER).any())
                copy.write(classes, 1, window=window)
                size, affine = classes.shape, transform(window, dataset.transform)
                ours, *allowed = (painter.paint(size, affine) for painter in painters)
                valid = np.logical_and.reduce([classes != IGNORED, *allowed])
                counts += count_pixels(ours, classes == VILLAGE, valid)
                progress("compare pixels (strips)", done, len(windows))
            if not has_other and raster.leaves_out_zeros(dataset):
                raise LabelError(
                    f"{raster.path} has nodata 0 and nothing but village besides: give --nodata-is-label if 0 means "
                    "'no village', or --ignore-value 0 if it means 'not known'"
                )
        found = _polygons(path)
    return RasterTruth(counts, PolygonLayer(found[VILLAGE], crs), PolygonLayer(found[IGNORED], crs))


def _strips(dataset: Any) -> Iterator[Window]:
    block = dataset.block_shapes[0][0]
    rows = max(1, STRIP_PX // (dataset.width * block)) * block
    for row in range(0, dataset.height, rows):
        yield Window(0, row, dataset.width, min(rows, dataset.height - row))


class _Painter:
    """Burns polygons into windows, each time only those that are there."""

    def __init__(self, polygons: NDArray[np.object_]) -> None:
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)

    def paint(self, shape: tuple[int, int], affine: Any) -> NDArray[np.bool_]:
        here = self._polygons[np.sort(self._tree.query(_outline(shape, affine)))]
        if len(here) == 0:
            return np.zeros(shape, dtype=np.bool_)
        burnt: NDArray[np.bool_] = rasterize(here, out_shape=shape, transform=affine, dtype="uint8").astype(np.bool_)
        return burnt


def _polygons(path: Path) -> dict[int, NDArray[np.object_]]:
    """The 4-connected areas of the values 1 and 2, as GDAL finds them row by row."""
    found: dict[int, list[Any]] = {VILLAGE: [], IGNORED: []}
    with rasterio.open(path) as classes:
        band = rasterio.band(classes, 1)
        for outline, value in shapes(band, mask=band, connectivity=4, transform=classes.transform):
            found[int(value)].append(shapely.geometry.shape(outline))
    return {value: shapely.make_valid(np.array(polygons, dtype=object)) for value, polygons in found.items()}
