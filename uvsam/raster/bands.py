"""Which bands of a file are red, green, blue and alpha, by their colours and by their names."""

import re
import shlex
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RioWindow

from uvsam.errors import SceneError
from uvsam.raster.access import is_remote, name_of
from uvsam.raster.names import gdal_name

COLOURS = ("red", "green", "blue")
WORDS = {
    "red": {"red", "rot", "rouge", "rojo", "rosso", "vermelho", "merah", "красный", "b04"}
    | {"红", "红色", "红光", "红波段", "红光波段", "紅", "紅色"},
    "green": {"green", "grün", "gruen", "vert", "verde", "hijau", "зелёный", "зеленый", "b03"}
    | {"绿", "绿色", "绿光", "绿波段", "绿光波段", "綠", "綠色"},
    "blue": {"blue", "blau", "bleu", "azul", "blu", "biru", "синий", "b02"}
    | {"蓝", "蓝色", "蓝光", "蓝波段", "蓝光波段", "藍", "藍色"},
}
OTHERS = {"nir", "infrared", "swir", "edge", "rededge", "coastal", "pan", "thermal", "yellow", "cirrus", "ndvi", "mask"}
OTHERS |= {"近红外", "红外", "红边", "全色", "近紅外", "紅外"}
"""Words that make another band of one that has a colour in its name, such as red edge or coastal blue."""

Triple = tuple[int, int, int]

SOFT = 0.5
"""Of a mask that is not 0, at least so much has two values: antialiased and feathered borders are narrow."""
PLACES, PLACE_PX, REMOTE_PLACES = 8, 64, 2
LEAST_PX = 256


def choose_bands(dataset: Any, uri: str, bands: Triple | None) -> Triple:
    """Red, green and blue: those given, else by colour and name, else the first three that are not alpha.

    Warns where colours and names contradict each other (names are believed), and where nothing says which they are.

    Raises:
        SceneError: there are no such bands.
    """
    if bands is not None:
        missing = [band for band in bands if not 1 <= band <= dataset.count]
        if missing:
            raise SceneError(f"{uri} has no band {missing[0]}: it has bands 1 to {dataset.count}")
        return bands
    meanings = dataset.colorinterp
    if ColorInterp.palette in meanings:
        raise SceneError(
            f"{uri} is a palette image; give its colours as the image: {shlex.quote(f'vrt://{gdal_name(uri)}?expand=rgb')}"
        )
    flagged = _flagged(meanings)
    if (said := flagged or _named(dataset.descriptions)) is not None:
        return _told(dataset, uri, said)
    usable = [index for index, meaning in enumerate(meanings, start=1) if meaning != ColorInterp.alpha]
    if len(usable) < 3:
        count = f"{len(usable)} band" + ("s" if len(usable) > 1 else "")
        raise SceneError(
            f"{uri} has {count}; red, green and blue are needed. --bands 1,1,1 takes grey for all three, which the "
            "models have not learned; if they are in three files: rio stack --rgb RED GREEN BLUE -o rgb.tif"
        )
    if len(usable) > 3:
        taken = ", ".join(map(str, usable[:3]))
        warnings.warn(
            f"{name_of(uri)} has {len(usable)} bands and does not say which are red, green and blue; {taken} are "
            "taken. Name them with --bands",
            stacklevel=3,
        )
    return usable[0], usable[1], usable[2]


def _flagged(meanings: Sequence[ColorInterp]) -> Triple | None:
    names = [meaning.name for meaning in meanings]
    if not set(COLOURS) <= set(names):
        return None
    red, green, blue = (names.index(colour) + 1 for colour in COLOURS)
    return red, green, blue


def _named(descriptions: Sequence[str | None]) -> Triple | None:
    """Red, green and blue by the names of bands, where each colour is one band's."""
    found = [colour_named(text) for text in descriptions]
    if any(found.count(colour) != 1 for colour in COLOURS):
        return None
    red, green, blue = (found.index(colour) + 1 for colour in COLOURS)
    return red, green, blue


def colour_named(description: str | None) -> str | None:
    """``red``, ``green`` or ``blue`` of a name such as ``Red``, ``Band 3 (red)``, ``B04``, ``R`` or ``band_r``;
    ``other`` of a name of another part of the spectrum, else None."""
    text = (description or "").strip().casefold()
    words = {word for word in re.split(r"[\W_]+", text) if word}
    if words & OTHERS:
        return "other"
    letters = {colour[0]: colour for colour in COLOURS}
    rest = words - {"band"}
    letter = rest.pop() if len(rest) == 1 else ""
    found = {letters[letter]} if letter in letters else {colour for colour in COLOURS if words & WORDS[colour]}
    return found.pop() if len(found) == 1 else None


def _told(dataset: Any, uri: str, said: Triple) -> Triple:
    """What is believed of colours and names."""
    names = [colour_named(text) for text in dataset.descriptions]
    against = [
        f"band {band} is {colour} by its colour and '{dataset.descriptions[band - 1]}' by its name"
        for band, colour in zip(said, COLOURS, strict=True)
        if names[band - 1] not in (None, colour)
    ]
    if not against:
        return said
    named = _named(dataset.descriptions)
    taken = "the name is believed" if named else "the colour is believed, as not all three have a name"
    shown = ",".join(map(str, named or said))
    warnings.warn(f"{name_of(uri)}: {against[0]}; {taken}. Say which are right: --bands {shown}", stacklevel=4)
    return named or said


def alpha_band(dataset: Any) -> int | None:
    """1-based number of the band that is flagged as alpha, None where there is none."""
    for index, meaning in enumerate(dataset.colorinterp, start=1):
        if meaning == ColorInterp.alpha:
            return index
    return None


def choose_alpha(dataset: Any, uri: str, rgb: Triple, *, quiet: bool) -> int | None:
    """The band that says where there is data: the one flagged as alpha, if that is what it holds.

    A band that is read as a colour, or has the name of another part of the spectrum, or many values, is no mask; the
    latter with a warning.

    Args:
        quiet: the user said which bands are which, so nothing is warned of.
    """
    band = alpha_band(dataset)
    if band is None or band in rgb:
        return None
    name = dataset.descriptions[band - 1]
    if colour_named(name):
        why = f"has the name '{name}'"
    elif _has_many_values(_sampled(dataset, uri, band)):
        why = "has many different values"
    else:
        return band
    if not quiet:
        warnings.warn(
            f"{uri}: band {band} is flagged as alpha and {why}, so it is not taken for a mask; "
            f"--bands {','.join(map(str, rgb))} accepts that",
            stacklevel=3,
        )
    return None


def _sampled(dataset: Any, uri: str, band: int) -> NDArray[Any]:
    places = REMOTE_PLACES if is_remote(uri) else PLACES
    side = max(1, PLACE_PX)
    rows, cols = (
        sorted({int(max(0, size - side) * (index + 0.5) / places) for index in range(places)})
        for size in (dataset.height, dataset.width)
    )
    parts = [
        dataset.read(
            band, window=RioWindow(col, row, min(side, dataset.width - col), min(side, dataset.height - row))
        ).ravel()
        for row in rows
        for col in cols
    ]
    return np.concatenate(parts)


def _has_many_values(sample: NDArray[Any]) -> bool:
    seen = sample[sample > 0]
    if len(seen) < LEAST_PX:
        return False
    counts = np.sort(np.unique(seen, return_counts=True)[1])
    return bool(counts[-2:].sum() < SOFT * len(seen))
