"""One georeferenced image: what its header says."""

import datetime
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from uvsam.errors import GeoreferencingError, SceneError
from uvsam.raster.access import check_complete, is_remote, name_of, open_dataset, sources
from uvsam.raster.acquired import acquired_day
from uvsam.raster.bands import choose_bands
from uvsam.raster.containers import of_several
from uvsam.raster.declared import declared_validity
from uvsam.raster.georeference import read_grid
from uvsam.raster.limits import check_limits
from uvsam.raster.names import check_utf8, exists, gdal_name
from uvsam.raster.references import Part, References, check_regular
from uvsam.raster.resolution import ground_resolution_m
from uvsam.raster.validity import Nodata, Validity
from uvsam.raster.web import looks, remember

COARSEST_RATIO = 4.0
SNAP = 0.05


@dataclass(frozen=True)
class Scene:
    """An image and its date, without an open file: cheap to copy, pickle and send.

    Attributes:
        uri: path or url, as GDAL reads it, or the text of a VRT.
        geobox: grid of pixels; without a CRS its unit is the metre.
        bands: 1-based numbers of red, green and blue.
        dtype: numpy name of the pixel type.
        validity: what says which pixels show nothing.
        acquired: day the image was taken, None where nobody said.
        gsd_m: metres per pixel on the ground (x, y) at the centre.
    """

    uri: str
    geobox: GeoBox
    bands: tuple[int, int, int]
    dtype: str
    validity: Validity
    acquired: datetime.date | None
    gsd_m: tuple[float, float]

    def __getstate__(self) -> dict[str, Any]:
        """With what was found on the web beside its files, so that a worker need not look again."""
        return self.__dict__ | {"looks": looks(sources(self.uri)) if is_remote(self.uri) else ()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        remember(state.pop("looks"))
        self.__dict__.update(state)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.geobox.shape
        return int(height), int(width)

    @property
    def nodata(self) -> float | None:
        """Nodata value of the red band, None where it has none."""
        return self.validity.nodata[0]

    @property
    def name(self) -> str:
        """For messages: the path or url, of a mosaic that of its first file."""
        return name_of(self.uri)


def open_scene(
    uri: str | Path,
    *,
    bands: tuple[int, int, int] | None = None,
    acquired: datetime.date | None = None,
    allow_ungeoreferenced: bool = False,
    gsd_m: float | None = None,
    nodata: Nodata = None,
    driver: str | None = None,
) -> Scene:
    """Read the header of any GDAL raster, local or remote (``https://``, ``s3://``, ``/vsi...``).

    Args:
        bands: 1-based red, green, blue. Default: by colour interpretation, else by the names of the bands, else the
            first three that are not alpha; warns where there are more, and where colours and names disagree.
        acquired: day the image was taken; warns where the file's tags say another. Default: what they say; never today.
        allow_ungeoreferenced, gsd_m: accept an image without a place on earth, whose pixels have this size: see
            :func:`uvsam.raster.georeference.read_grid`.
        nodata: value of pixels that show nothing, in place of the one that the file says; ``none``: all show something,
            whatever the file's nodata value, mask and alpha band say.
        driver: the only format that is opened, by its GDAL name; for a uri that somebody else wrote.

    Raises:
        SceneError: not a raster, missing, truncated, without the bands asked for, or beyond ``raster.limits``.
        GeoreferencingError: no CRS, no position, or one that cannot be true.
        SettingsError: ``gsd_m`` for an image that says its own, or not positive.
    """
    uri = gdal_name(str(uri)) if exists(str(uri)) else str(uri)
    check_exists(uri)
    references = References()
    references.follow(Part(gdal_name(uri)))
    with open_dataset(uri, driver) as dataset:
        if instead := of_several(dataset, uri, bands):
            own = None if instead.startswith("<") else bands
            return open_scene(
                instead,
                bands=own,
                acquired=acquired,
                allow_ungeoreferenced=allow_ungeoreferenced,
                gsd_m=gsd_m,
                nodata=nodata,
            )
        if dataset.width == 0 or dataset.height == 0:
            raise SceneError(f"{uri} has no pixels ({dataset.width} x {dataset.height})")
        rgb = choose_bands(dataset, uri, bands)
        dtype = str(np.result_type(*(dataset.dtypes[band - 1] for band in rgb)))
        if dtype.startswith("complex"):
            raise SceneError(f"{uri} has complex pixels (radar?); a red, green and blue image is needed")
        geobox = read_grid(dataset, uri, allow_ungeoreferenced=allow_ungeoreferenced, gsd_m=gsd_m)
        check_limits(dataset, references)
        check_complete(dataset, rgb)
        stated = acquired_day(dataset)
        if acquired and stated and acquired != stated:
            told = f"{name_of(uri)} says that it was taken on {stated}; {acquired} is used, as given"
            warnings.warn(told, stacklevel=2)
        return Scene(
            uri=uri,
            geobox=geobox,
            bands=rgb,
            dtype=dtype,
            validity=declared_validity(dataset, name_of(uri), rgb, nodata, quiet=bands is not None),
            acquired=acquired or stated,
            gsd_m=_ground_resolution_m(geobox, uri),
        )


def check_resolution(scene: Scene, model_gsd_m: float) -> None:
    """Refuse an image too coarse to show what the model looks for.

    Raises:
        GeoreferencingError: its gsd is more than 4 times the model's.
    """
    gsd_m = max(scene.gsd_m)
    if gsd_m > COARSEST_RATIO * model_gsd_m:
        raise GeoreferencingError(
            f"{scene.name} has {gsd_m:.3g} m pixels; the model needs {COARSEST_RATIO * model_gsd_m:.3g} m or finer"
        )


def model_scale(scene: Scene, model_gsd_m: float) -> tuple[float, float]:
    """Scene pixels per model pixel (x, y); exactly 1 within 5 % of 1, where resampling would only blur."""
    x, y = (model_gsd_m / gsd_m for gsd_m in scene.gsd_m)
    return (1.0 if abs(x - 1) <= SNAP else x, 1.0 if abs(y - 1) <= SNAP else y)


def check_exists(uri: str) -> None:
    """Whether a name can be that of a raster, told without opening it.

    Raises:
        SceneError: there is no such file, it is a pipe or a device, or it is empty.
    """
    if uri.startswith("/vsistdin"):
        raise SceneError("an image cannot come from a pipe, it is read several times; save it to a file first")
    if not is_remote(uri) and ":" not in uri and not uri.startswith(("/vsi", "<")):
        path = Path(uri)
        if not uri or not exists(uri):
            raise SceneError(f"{uri or 'an image without a name'} does not exist")
        check_utf8(str(path.absolute()))
        check_regular(path)
        if path.is_file() and path.stat().st_size == 0:
            raise SceneError(f"{uri} is an empty file; copy or download it again")


def _ground_resolution_m(geobox: GeoBox, uri: str) -> tuple[float, float]:
    try:
        return ground_resolution_m(geobox)
    except GeoreferencingError as error:
        raise GeoreferencingError(f"{uri}: {error}") from error
