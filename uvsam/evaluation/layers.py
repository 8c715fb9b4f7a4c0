"""Reading the polygons that are compared, and the local map on which they are measured."""

import re
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer

from uvsam.errors import LabelError
from uvsam.evaluation.region import polygons_only

COVERAGE_LAYER = "coverage"
VILLAGE_LAYERS = ("villages", "truth")
# Straight edges are straight in one CRS only. Cut to this length they are off by less than 0.1 mm in another.
EDGE_M = 50.0
METRES_PER_DEGREE = 111_000.0


@dataclass(frozen=True)
class Layer:
    """Polygons (N,) and their CRS; ``crs`` None is a plane without a place on earth, in metres."""

    polygons: NDArray[np.object_]
    crs: CRS | None

    def to_crs(self, crs: CRS | None) -> NDArray[np.object_]:
        """The polygons in ``crs``, their long edges divided first so that they stay where they are on the ground."""
        if self.crs is None or crs is None or self.crs == crs or len(self.polygons) == 0:
            return self.polygons
        edge = EDGE_M / (METRES_PER_DEGREE if self.crs.is_geographic else self.crs.axis_info[0].unit_conversion_factor)
        transform = Transformer.from_crs(self.crs, crs, always_xy=True).transform
        moved = shapely.transform(shapely.segmentize(self.polygons, edge), transform, interleaved=False)
        return polygons_only(moved)


def read_polygons(path: Path, *, layer: str | None = None, where: str | None = None) -> Layer:
    """Read a polygon layer of any vector file GDAL knows.

    Args:
        path: GeoPackage, GeoJSON, Shapefile and so on.
        layer: name; default: ``villages`` or ``truth`` where there is one, else the only polygon layer.
        where: SQL condition on the attributes, as in ``period = 2020``.

    Raises:
        LabelError: not a vector file, no such layer, several candidates, or geometries that are not polygons.
    """
    layers = polygon_layers(path)
    name = layer or _default_layer(path, layers)
    if name not in layers:
        raise LabelError(f"{path} has no polygon layer {name}; it has {', '.join(layers) or 'none'}")
    return _read(path, name, where)


def read_coverage(path: Path) -> Layer | None:
    """The ``coverage`` layer that predictions carry; None where there is none."""
    return _read(path, COVERAGE_LAYER, None) if COVERAGE_LAYER in polygon_layers(path) else None


def polygon_layers(path: Path) -> list[str]:
    """Names of the layers with polygons, or with geometries of any kind."""
    if not path.exists():
        raise LabelError(f"{path} does not exist")
    try:
        layers = pyogrio.list_layers(path)
    except DataSourceError as error:
        raise LabelError(f"{path} is not a vector file that can be read: {error}") from error
    kinds = re.compile("Polygon|Surface|Unknown|GeometryCollection")
    return [str(name) for name, kind in layers if kind is not None and kinds.search(kind)]


def _default_layer(path: Path, layers: list[str]) -> str:
    named = [name for name in VILLAGE_LAYERS if name in layers]
    candidates = named or [name for name in layers if name != COVERAGE_LAYER]
    if len(candidates) == 1 or named:
        return candidates[0]
    if not candidates:
        raise LabelError(f"{path} has no polygon layer")
    raise LabelError(f"{path} has the layers {', '.join(candidates)}; name the one to compare")


def _read(path: Path, layer: str, where: str | None) -> Layer:
    try:
        frame = geopandas.read_file(path, layer=layer, where=where, columns=[])
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise LabelError(f"layer {layer} of {path} cannot be read: {error}") from error
    geometries = shapely.force_2d(frame.geometry.to_numpy())
    geometries = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    if len(geometries) and (shapely.get_dimensions(geometries) < 2).any():
        raise LabelError(f"layer {layer} of {path} has geometries that are not polygons")
    return Layer(polygons_only(geometries), place(frame.crs))


def place(crs: CRS | None) -> CRS | None:
    """``crs`` if it says where on earth; None for local and undefined ones."""
    return crs if crs is not None and (crs.is_geographic or crs.is_projected) else None


def local_map(layers: list[Layer]) -> CRS | None:
    """An equal-area CRS in metres around the first of ``layers`` that has polygons; None without a CRS.

    Azimuthal: distances are right to 0.01 % within 180 km of its centre (Snyder 1987, section 24).
    """
    for layer in layers:
        if layer.crs is not None and len(layer.polygons):
            west, south, east, north = shapely.total_bounds(layer.polygons)
            to_degrees = Transformer.from_crs(layer.crs, "EPSG:4326", always_xy=True)
            lon, lat = to_degrees.transform((west + east) / 2, (south + north) / 2)
            return CRS.from_dict({"proj": "laea", "lat_0": lat, "lon_0": lon, "datum": "WGS84", "units": "m"})
    return next((layer.crs for layer in layers if layer.crs is not None), None)
