"""Polygons that users bring: truth, labels, areas of interest, and what ``predict`` wrote."""

import re
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from uvsam.errors import LabelError
from uvsam.raster.access import one_line
from uvsam.raster.units import FULL_TURN, is_on_earth, metres_per_unit, turn_of
from uvsam.vectors.antimeridian import beside, split, unwrapped, without_jumps
from uvsam.vectors.layer_files import UNREADABLE, coverage_file, list_layers, named, naming, read_rows, run_file
from uvsam.vectors.schema import COVERAGE, VILLAGES
from uvsam.vectors.whereabouts import LON_LAT, Extent, check_coordinates, extent_of_villages

DEFAULT_LAYERS = (VILLAGES.name, "truth")
HOLDS_POLYGONS = re.compile("Polygon|Surface|Unknown|GeometryCollection")
# Straight edges are straight in one CRS only. Cut to this length they are off by less than 0.1 mm in another.
EDGE_M = 50.0
Bounds = Sequence[float] | NDArray[np.float64]
"""Left, bottom, right, top."""


@dataclass(frozen=True)
class PolygonLayer:
    """Polygons (N,) and their CRS; ``crs`` None is a plane without a place on earth, in metres."""

    polygons: NDArray[np.object_]
    crs: CRS | None

    def to_crs(self, crs: CRS | None, near: Bounds | None = None) -> NDArray[np.object_]:
        """The polygons in ``crs``, their long edges divided first so that they stay where they are on the ground.

        Args:
            near: left, bottom, right, top in ``crs``, of what they are compared with: where longitudes begin anew they
                are brought to its side, see :func:`uvsam.vectors.antimeridian.beside`.
        """
        if self.crs is None or crs is None or len(self.polygons) == 0:
            return self.polygons
        found = self.polygons if self.crs == crs else polygons_only(moved(self.polygons, self.crs, crs))
        return found if near is None else beside(found, turn_of(crs), near)


def seen_extent(path: Path, ground: PolygonLayer) -> Extent:
    """Where the ground is that a layer says was looked at."""
    seen = shapely.union_all(split(ground.to_crs(LON_LAT), FULL_TURN))
    return Extent(path, shapely.total_bounds(ground.polygons), ground.crs, seen)


def extent_of(path: Path, layer: PolygonLayer) -> Extent:
    """Where the villages of a layer are."""
    return extent_of_villages(path, shapely.bounds(layer.polygons).reshape(-1, 4), layer.crs)


def moved(polygons: NDArray[np.object_], crs: CRS, to: CRS) -> NDArray[np.object_]:
    """Polygons of one CRS in another, one for one, none of them torn apart where longitudes begin anew.

    See :meth:`PolygonLayer.to_crs`.
    """
    polygons = without_jumps(polygons, turn_of(crs))
    edge = EDGE_M / metres_per_unit(crs)
    transform = Transformer.from_crs(crs, to, always_xy=True).transform
    divided = polygons.copy()
    xy, owner = shapely.get_coordinates(polygons, return_index=True)
    is_edge = owner[1:] == owner[:-1]  # or the way from one ring to the next, which does no harm
    long = np.unique(owner[1:][is_edge & (np.hypot(*np.diff(xy, axis=0).T) > edge)])
    divided[long] = shapely.segmentize(polygons[long], edge)
    found: NDArray[np.object_] = shapely.transform(divided, transform, interleaved=False)
    return unwrapped(found, turn_of(to))


def read_polygons(path: Path, *, layer: str | None = None, where: str | None = None) -> PolygonLayer:
    """Read a layer of polygons of GeoParquet, or of any vector file GDAL knows: GeoPackage, GeoJSON, Shapefile ...

    Invalid polygons are repaired; rows without one are left out, with a warning. There may be none.

    Args:
        layer: name; default: as :func:`polygon_layer` chooses.
        where: SQL condition on the attributes, as in ``period = 2020``.

    Raises:
        LabelError: not a vector file, no such layer, several candidates, geometries that are not polygons, or
            coordinates that are not of the layer's CRS.
    """
    layer = polygon_layer(path, layer)
    try:
        frame = read_rows(path, layer, where=where, columns=())
    except LabelError:
        raise
    except UNREADABLE as error:
        raise LabelError(f"layer {layer} of {path} cannot be read: {one_line(error)}") from error
    drawn = rows_with_polygons(frame, path, layer)
    say_left_out(len(frame) - len(drawn), path, layer)
    polygons, crs = drawn.geometry.to_numpy(), place(frame.crs)
    check_coordinates(path, shapely.bounds(polygons).reshape(-1, 4), crs)
    return PolygonLayer(polygons_only(unbroken(polygons, crs)), crs)


def unbroken(polygons: NDArray[np.object_], crs: CRS | None) -> NDArray[np.object_]:
    """See :func:`without_jumps`; before they are repaired, as a ring that jumps looks as if it crossed itself."""
    return polygons if crs is None else without_jumps(polygons, turn_of(crs))


def rows_with_polygons(frame: gpd.GeoDataFrame, path: Path, layer: str) -> gpd.GeoDataFrame:
    """The rows of a layer that have a geometry with coordinates.

    Raises:
        LabelError: one of them is a line or a point.
    """
    geometries: NDArray[np.object_] = frame.geometry.to_numpy()
    there = np.isfinite(shapely.bounds(geometries).reshape(-1, 4)).all(axis=1)
    other = sorted({one.geom_type for one in geometries[there & (shapely.get_dimensions(geometries) < 2)]})
    if other:
        raise LabelError(f"layer {layer} of {path} holds {', '.join(other)}; only polygons can be used")
    return frame[there]


def say_left_out(rows: int, path: Path, layer: str) -> None:
    """Warn that rows have no geometry, if so."""
    if rows:
        are = "row has no geometry and is" if rows == 1 else "rows have no geometry and are"
        warnings.warn(f"{rows} {are} left out of layer {layer} of {path}", stacklevel=3)


def read_coverage(path: Path) -> PolygonLayer | None:
    """Layer ``coverage`` of a file that ``predict`` wrote, or the file beside it: what was looked at. None for others.

    Raises:
        LabelError: not a vector file.
    """
    file = named(path).file
    if COVERAGE.name in layer_kinds(file):
        return read_polygons(file, layer=COVERAGE.name)
    beside = coverage_file(file)
    return read_polygons(beside) if beside.exists() and run_file(file).exists() else None


def polygon_layer(path: Path, layer: str | None = None) -> str:
    """The layer to read from a vector file: ``layer``, else the one that the path names (see
    :func:`uvsam.vectors.layer_files.named`), else ``villages`` or ``truth``, else the only one of polygons.

    Raises:
        LabelError: not a vector file, no such layer, or several could be meant.
    """
    layer = layer or named(path).layer
    layers = [name for name, kind in layer_kinds(path).items() if kind and HOLDS_POLYGONS.search(kind)]
    wanted = (layer,) if layer else DEFAULT_LAYERS
    candidates = [name for name in wanted if name in layers]
    if not candidates and not layer:
        candidates = [name for name in layers if name != COVERAGE.name]
        if len(candidates) > 1:
            one = shlex.quote(str(naming(path, layer=candidates[0])))
            raise LabelError(f"{path} has the layers {', '.join(candidates)}; name the one to read, as with {one}")
    if not candidates:
        name = f" {layer}" if layer else ""
        raise LabelError(f"{path} has no layer of polygons{name}; it has {', '.join(layers) or 'none'}")
    return candidates[0]


def layer_kinds(path: Path) -> dict[str, str | None]:
    """Type of geometry of each layer of a vector file; None for tables.

    Raises:
        LabelError: there is no such file, or it is not a vector file.
    """
    if named(path).file.suffix.lower() == ".pmtiles":
        raise LabelError(f"{path} shows polygons cut at the borders of tiles; give a file that has them whole")
    try:
        return list_layers(path)
    except LabelError:
        raise
    except UNREADABLE as error:
        if not named(path).file.exists():
            raise LabelError(f"{named(path).file} does not exist") from error
        raise LabelError(f"{path} is not a vector file with polygons that can be read: {one_line(error)}") from error


def polygons_only(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """The geometries :func:`repaired`, those without an area dropped."""
    fixed = repaired(geometries)
    areal: NDArray[np.object_] = fixed[shapely.area(fixed) > 0]
    return areal


def repaired(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Valid geometries of the same ground, one for one; points and lines that an overlay left are gone.

    Parts that overlap are one: what is inside of any of them is inside.
    """
    fixed = geometries.copy()
    broken = ~shapely.is_valid(fixed)
    fixed[broken] = shapely.make_valid(fixed[broken], method="structure", keep_collapsed=False)
    mixed = np.flatnonzero(shapely.get_type_id(fixed) == shapely.GeometryType.GEOMETRYCOLLECTION)
    for index in mixed:
        parts = shapely.get_parts(fixed[index])
        while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():  # collections may hold collections
            parts = shapely.get_parts(parts)
        fixed[index] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return fixed


def multipolygons(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons and multipolygons as multipolygons, one for one."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    found = np.full(len(polygons), shapely.MultiPolygon(), object)
    if len(parts):
        shapely.multipolygons(parts, indices=owner, out=found)
    return found


def to_wkb(geometries: NDArray[np.object_]) -> Any:
    """(N,) geometries as (N,) WKB, outer rings counter-clockwise, as in OGC's simple features."""
    return shapely.to_wkb(shapely.orient_polygons(geometries))


def place(crs: CRS | None) -> CRS | None:
    """``crs`` if it says where on earth; None for local and undefined ones."""
    return crs if is_on_earth(crs) else None
