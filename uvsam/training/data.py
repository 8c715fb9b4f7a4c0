"""Training data from rasters and polygons of any place, through torchgeo.

A sample is read at the ground resolution it shall have (so scale augmentation is antialiased by the warper) on the
CRS of the images. Images and their validity follow the rules of :class:`~uvsam.raster.scene.Scene`, as in prediction:
bands by colour interpretation, one stretch per file.
"""

import functools
import io
import math
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.features import rasterize
from rasterio.transform import from_bounds, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform_bounds
from shapely.geometry.base import BaseGeometry
from torchgeo.datasets import DatasetNotFoundError, GeoDataset, IntersectionDataset, RasterDataset, VectorDataset

from uvsam.errors import LabelError, SceneError
from uvsam.raster.access import gdal_environment, opened
from uvsam.raster.collar import find_collars
from uvsam.raster.guarded import open_guarded
from uvsam.raster.pixels import read_raw
from uvsam.raster.radiometry import Stretch, estimate_stretch
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window
from uvsam.training.config import Source
from uvsam.training.survey import FRACTIONAL
from uvsam.vectors.corrections import Labels, is_review, read_corrections
from uvsam.vectors.layer_files import PARQUET, named
from uvsam.vectors.polygon_files import polygon_layer, read_polygons

VECTOR_SUFFIXES = {".gpkg", ".geojson", ".json", ".shp", ".fgb", *PARQUET}
RASTER_GLOB = r"^(?!\.).*\.(tiff?|vrt|jp2|img)$"


def rasters_in(path: Path) -> list[Path]:
    """The rasters that are read of a source: those of a folder, or the one."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if re.match(RASTER_GLOB, file.name))


@functools.lru_cache(maxsize=256)
def _scene(path: str) -> tuple[Scene, Stretch]:
    """An image as prediction sees it, with the collars that it does not tell of."""
    scene = find_collars(open_scene(path))
    return scene, estimate_stretch(scene)


@functools.lru_cache(maxsize=256)
def _handle(path: str, process: int) -> Any:
    """An open file, one per process: those that inherit one share its position and read each other's bytes."""
    with gdal_environment(path):
        return opened(path)


def _warp(
    path: str, bands: Sequence[int], query: Any, crs: Any, resampling: Resampling
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands of a raster on the grid of a query: (C, H, W) and where the raster has data."""
    x, y, _ = query
    width, height = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
    source = _handle(path, os.getpid())
    masked = any(MaskFlags.alpha in flags for flags in source.mask_flag_enums)
    with WarpedVRT(
        source, crs=crs, transform=from_origin(x.start, y.stop, x.step, y.step), width=width, height=height,
        resampling=resampling, add_alpha=not masked and ColorInterp.alpha not in source.colorinterp,
    ) as vrt:  # fmt: skip
        return vrt.read(list(bands)), vrt.dataset_mask() > 127


def _readable(scene: Scene) -> tuple[str, Sequence[int]]:
    """What is read of a scene, and which bands: GDAL would take a band for a mask that is only flagged as alpha."""
    flagged = ColorInterp.alpha in _handle(scene.uri, os.getpid()).colorinterp
    if scene.validity.alpha is not None or not flagged:
        return scene.uri, scene.bands
    return f"vrt://{scene.uri}?bands={','.join(map(str, scene.bands))}", (1, 2, 3)


def _shown(scene: Scene, query: Any, crs: Any) -> NDArray[np.bool_]:
    """Where a scene shows something (H, W), on the grid of a query, by all that is known of it."""
    x, y, _ = query
    width, height = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
    found = np.zeros((height, width), np.uint8)
    source = _handle(scene.uri, os.getpid())
    box = transform_bounds(crs, source.crs, x.start, y.start, x.stop, y.stop)
    corners = [~source.transform * corner for corner in product(box[::2], box[1::2])]
    left, top = (math.floor(min(way)) - 1 for way in zip(*corners, strict=True))
    right, bottom = (math.ceil(max(way)) + 1 for way in zip(*corners, strict=True))
    left, top, right, bottom = max(0, left), max(0, top), min(source.width, right), min(source.height, bottom)
    if left < right and top < bottom:
        window = Window(top, left, bottom - top, right - left)
        shape = min(window.height, 2 * height), min(window.width, 2 * width)
        _, valid = read_raw(source, scene, window, shape)
        scale = Affine.scale(window.width / shape[1], window.height / shape[0])
        reproject(
            valid.astype(np.uint8), found, src_transform=source.transform * Affine.translation(left, top) * scale,
            src_crs=source.crs, dst_transform=from_origin(x.start, y.stop, x.step, y.step), dst_crs=crs,
            resampling=Resampling.nearest,
        )  # fmt: skip
    return found.astype(bool)


class SceneImages(RasterDataset):
    """Images: samples hold ``image`` (3, H, W) float32 in 0..255 and ``valid`` (H, W) bool."""

    filename_regex = RASTER_GLOB

    def __getitem__(self, query: Any) -> dict[str, Any]:
        x, y, t = self._disambiguate_slice(query)
        height, width = round((y.stop - y.start) / y.step), round((x.stop - x.start) / x.step)
        image, valid = np.zeros((3, height, width), np.float32), np.zeros((height, width), bool)
        for path in self.index.cx[x.start : x.stop, y.start : y.stop].filepath:
            scene, stretch = _scene(path)
            pixels, there = _warp(*_readable(scene), (x, y, t), self.crs, Resampling.bilinear)
            if scene.validity.collars:
                there &= _shown(scene, (x, y, t), self.crs)
            there &= np.isfinite(pixels).all(axis=0) & ~valid
            image[:, there] = stretch.apply(pixels)[:, there]
            valid |= there
        return {"image": torch.from_numpy(image), "valid": torch.from_numpy(valid), "bounds": query}


class LabelRasters(RasterDataset):
    """Label rasters: samples hold ``mask`` (H, W) int64, raw values, and ``labelled`` (H, W) bool."""

    filename_regex = RASTER_GLOB
    is_image = False

    def __getitem__(self, query: Any) -> dict[str, Any]:
        x, y, t = self._disambiguate_slice(query)
        shape = round((y.stop - y.start) / y.step), round((x.stop - x.start) / x.step)
        mask, labelled = np.zeros(shape, np.int64), np.zeros(shape, bool)
        for path in self.index.cx[x.start : x.stop, y.start : y.stop].filepath:
            values, there = _warp(path, [1], (x, y, t), self.crs, Resampling.nearest)
            there &= np.isfinite(values[0]) & ~labelled
            mask[there] = _whole(values[0][there])
            labelled |= there
        return {"mask": torch.from_numpy(mask), "labelled": torch.from_numpy(labelled)}


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """Label values as whole numbers; what is none has a value of its own, which no source can list."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    whole = (values == np.round(values)) & (np.abs(values) < 2**31)
    return np.where(whole, values, FRACTIONAL).astype(np.int64)


class VillagePolygons(VectorDataset):
    """Village polygons: samples hold ``mask`` 1 inside and 0 outside, and ``labelled``.

    The file is read once, by the reader that ``evaluate`` has. Of a review (``uvsam review``) places without a
    verdict are not labelled, and ``seen`` is ground near those with one.

    Raises:
        LabelError: the file cannot be used.
    """

    def __init__(self, path: Path, images: RasterDataset) -> None:
        reviewed = is_review(path)
        labels = read_corrections(path) if reviewed else Labels(read_polygons(path))
        if labels.villages.crs is None:
            raise LabelError(f"{path} has no coordinate reference system; assign it first")
        if not reviewed and not len(labels.villages.polygons):
            raise LabelError(f"{path} has no polygon")
        crs, bounds = CRS.from_user_input(images.crs), images.index.total_bounds
        self.villages, self.seen, self.unknown = (
            None if layer is None else shapely.STRtree(layer.to_crs(crs, near=bounds))
            for layer in (labels.villages, labels.seen, labels.unknown)
        )
        super().__init__(str(named(path).file), crs=images.crs, res=images.res, layer=polygon_layer(path))

    def __getitem__(self, query: Any) -> dict[str, Any]:
        x, y, _ = self._disambiguate_slice(query)
        shape = round((y.stop - y.start) / y.step), round((x.stop - x.start) / x.step)
        box = shapely.box(x.start, y.start, x.stop, y.stop)
        mask = _inside(self.villages, box, shape)
        parts = {"labelled": ~_inside(self.unknown, box, shape), "seen": _inside(self.seen, box, shape)}
        return {"mask": torch.from_numpy(mask).long()} | {name: torch.from_numpy(part) for name, part in parts.items()}

    def touches(self, ground: BaseGeometry) -> bool:
        """Whether something is labelled on some ground, in the CRS of the images."""
        tree = self.villages if self.seen is None else self.seen
        return tree is not None and len(tree.query(ground, predicate="intersects")) > 0


def _inside(polygons: shapely.STRtree | None, box: shapely.Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells of a box whose centres lie in polygons."""
    mask = np.zeros(shape, np.uint8)
    here = [] if polygons is None else polygons.geometries[np.sort(polygons.query(box))]
    if len(here):
        rasterize(here, out=mask, transform=from_bounds(*box.bounds, *shape[::-1]))
    return mask.astype(bool)


def open_source(source: Source) -> GeoDataset:
    """Images joined with their labels; query it with torchgeo slices whose step is the ground resolution.

    Raises:
        LabelError: no image or no label can be read, or they do not overlap.
    """
    if named(source.labels).file.suffix.lower() in VECTOR_SUFFIXES:
        return _with_polygons(source)
    images, labels = _open(SceneImages, source.images, source), _open(LabelRasters, source.labels, source)
    _of_one_band(labels, source)
    try:
        with redirect_stdout(io.StringIO()):  # where torchgeo prints that it transforms extents
            return IntersectionDataset(images, labels)
    except RuntimeError as error:
        raise LabelError(_apart(source)) from error


def _apart(source: Source) -> str:
    return (
        f"source '{source.name}': {source.labels} and {source.images} do not overlap; are both of one place, and does "
        "each have the right coordinate reference system?"
    )


def _open(kind: type[RasterDataset], path: Path, source: Source) -> RasterDataset:
    try:
        for file in rasters_in(path):  # torchgeo opens them as they come
            with open_guarded(file):
                pass
    except SceneError as error:
        raise LabelError(f"source '{source.name}': {error}") from error
    try:
        dataset = kind(str(path), cache=False)
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise LabelError(f"source '{source.name}': no georeferenced raster at {path}") from error
    if dataset.crs is None:
        raise LabelError(
            f"source '{source.name}': {path} has no coordinate reference system; assign the right one "
            "(gdal_edit.py -a_srs EPSG:CODE)"
        )
    return dataset


def _of_one_band(labels: RasterDataset, source: Source) -> None:
    """Whether labels are labels, and not a picture of them in colours."""
    for path in labels.index.filepath:
        with open_guarded(path) as dataset:
            bands = [colour for colour in dataset.colorinterp if colour != ColorInterp.alpha]
        if len(bands) != 1:
            raise LabelError(f"source '{source.name}': {path} has {len(bands)} bands; labels are a raster of one band")


class _PolygonsOverImages(IntersectionDataset):
    """Unlike torchgeo's intersection, ground outside all polygons' bounds is labelled too: it is no village."""

    def __init__(self, images: RasterDataset, polygons: VillagePolygons) -> None:
        self.datasets = [images, polygons]
        self.index = images.index
        self.transforms = None

    def __getitem__(self, query: Any) -> dict[str, Any]:
        images, polygons = self.datasets
        return images[query] | polygons[query]


def _with_polygons(source: Source) -> GeoDataset:
    images = _open(SceneImages, source.images, source)
    try:
        polygons = VillagePolygons(source.labels, images)
    except LabelError as error:
        raise LabelError(f"source '{source.name}': {error}") from error
    if not polygons.touches(images.index.union_all()):
        raise LabelError(_apart(source))
    return _PolygonsOverImages(images, polygons)
