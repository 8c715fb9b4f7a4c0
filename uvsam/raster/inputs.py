"""What a user names, rasters and STAC items, as one scene."""

import datetime
import shlex
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from uvsam.errors import GeoreferencingError, SceneError, SettingsError
from uvsam.raster.access import is_remote
from uvsam.raster.collar import with_collars
from uvsam.raster.containers import SHOWN, images_in
from uvsam.raster.mosaic import Colours, join
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.stac import Described, is_stac, read_items
from uvsam.raster.validity import Nodata
from uvsam.raster.web import is_signed, looks

GSD_TOLERANCE = 0.1


def open_inputs(
    inputs: str | Path | Sequence[str | Path],
    *,
    bands: tuple[int, int, int] | None = None,
    asset: str | None = None,
    acquired: datetime.date | None = None,
    allow_ungeoreferenced: bool = False,
    gsd_m: float | None = None,
    nodata: Nodata = None,
) -> Scene:
    """The scene of one image, or of several that share a grid (see :func:`uvsam.raster.mosaic.join`).

    Args:
        inputs: rasters as for ``open_scene``, STAC items and item collections, folders and archives of rasters; naming
            one twice changes nothing.
        asset: key of the asset of STAC items, or three for red, green and blue. Default: see ``read_items``.
        acquired: day on which all were taken; warns where one of them says another. Default: what they say. One that
            says nothing is taken to be of the day of the others.
        bands, allow_ungeoreferenced, gsd_m, nodata: as for ``open_scene``.

    Raises:
        SceneError: an input cannot be used, or inputs are of different days.
        GeoreferencingError: an input has no position, or inputs do not share a grid.
        SettingsError: an option that does not fit the inputs.
    """
    given = dict.fromkeys([str(inputs)] if isinstance(inputs, str | Path) else map(str, inputs))
    held = {name: images_in(name) for name in given}
    names = dict.fromkeys(one for several in held.values() for one in several)
    if several := {name: inside for name, inside in held.items() if len(inside) > 1}:
        with _said_of(several):
            return _opened(names, bands, asset, acquired, allow_ungeoreferenced, gsd_m, nodata)
    return _opened(names, bands, asset, acquired, allow_ungeoreferenced, gsd_m, nodata)


@contextmanager
def _said_of(several: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Errors of images that a folder or an archive holds, with what else can be given."""
    try:
        yield
    except (SceneError, GeoreferencingError) as error:
        name, inside = next(iter(several.items()))
        shown = ", ".join(map(shlex.quote, inside[:SHOWN])) + (" ..." if len(inside) > SHOWN else "")
        said = f"{name} holds {len(inside)} images, looked at as one: {error}. Or give one of them: {shown}"
        raise type(error)(said) from error


def _opened(
    names: Collection[str], bands: tuple[int, int, int] | None, asset: str | None, acquired: datetime.date | None,
    allow_ungeoreferenced: bool, gsd_m: float | None, nodata: Nodata,
) -> Scene:  # fmt: skip
    images: list[Colours] = []
    looks(name for name in names if is_remote(name) and not is_stac(name))  # at many images at once
    for name in names:
        if is_stac(name):
            images += [_of_item(image, bands, acquired, nodata) for image in read_items(name, asset)]
        else:
            alone = allow_ungeoreferenced and len(names) == 1
            try:
                scene = open_scene(name, bands=bands, allow_ungeoreferenced=alone, gsd_m=gsd_m, nodata=nodata)
            except GeoreferencingError as error:
                if alone or not allow_ungeoreferenced:
                    raise
                raise GeoreferencingError(
                    f"{name} has no place on earth; one run takes only one such image, and no other with it"
                ) from error
            images.append((scene, scene, scene))
    _say_what_is_not_looked_for([scene for colours in images for scene in colours])
    if asset and not any(map(is_stac, names)):
        raise SettingsError("--asset chooses from a STAC item; an image has none")
    if not images:
        raise SettingsError("give an image")
    day = _day([colours[0] for colours in images], acquired)
    images = list(dict.fromkeys(images))
    first, *others = set(images[0])
    scene = join(images, day, collars=nodata is None) if others or len(images) > 1 else replace(first, acquired=day)
    return scene if nodata is not None else with_collars(scene)


def _say_what_is_not_looked_for(scenes: Sequence[Scene]) -> None:
    signed = list(dict.fromkeys(scene.name for scene in scenes if is_remote(scene.uri) and is_signed(scene.uri)))
    if signed:
        more = f" and {len(signed) - 1} more" if len(signed) > 1 else ""
        warnings.warn(
            f"{signed[0]}{more} has an address with a query, so that masks and descriptions beside it (.msk, .aux.xml) "
            "are not looked for",
            stacklevel=3,
        )


def _day(scenes: Sequence[Scene], given: datetime.date | None) -> datetime.date | None:
    told = {scene.acquired: scene.name for scene in reversed(scenes) if scene.acquired}
    if given is None and len(told) > 1:
        (one, name), (other, other_name) = sorted(told.items())[:2]
        raise SceneError(
            f"{name} was taken on {one} and {other_name} on {other}; run them separately, or say one day with --date"
        )
    for day, name in told.items():
        if given and day != given:
            warnings.warn(f"{name} says that it was taken on {day}; {given} is used, as given", stacklevel=3)
    return given or next(iter(told), None)


def _of_item(
    image: Described, bands: tuple[int, int, int] | None, acquired: datetime.date | None, nodata: Nodata
) -> Colours:
    first, last = image.days or (None, None)
    if first != last and acquired is None:
        raise SceneError(f"{image.name} spans {first} to {last}; say with --date on which day it was taken")
    if bands and len(image.uris) > 1:
        raise SettingsError(f"{image.name} has a file for each colour; leave out --bands, or choose one with --asset")
    if len(image.uris) == 1:
        scene = open_scene(image.uris[0], bands=bands or image.bands, nodata=nodata, driver=image.drivers[0])
        red = green = blue = scene
    else:
        red, green, blue = (
            open_scene(uri, bands=(1, 1, 1), nodata=nodata, driver=driver)
            for uri, driver in zip(image.uris, image.drivers, strict=True)
        )
    if image.gsd_m and abs(max(red.gsd_m) / image.gsd_m - 1) > GSD_TOLERANCE:
        warnings.warn(
            f"{image.name} says {image.gsd_m:g} m, its pixels are {max(red.gsd_m):.3g} m; the pixels are believed",
            stacklevel=3,
        )
    if first is not None and first == last:
        red, green, blue = (replace(scene, acquired=first) for scene in (red, green, blue))
    return red, green, blue
