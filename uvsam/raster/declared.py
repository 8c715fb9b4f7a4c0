"""What a file, or its user, says about which pixels show nothing."""

import re
import warnings
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from uvsam.errors import SettingsError
from uvsam.raster.access import GDAL_ERRORS
from uvsam.raster.bands import choose_alpha
from uvsam.raster.validity import NONE, Nodata, Validity, applicable

NODATA = re.compile(r"<NoDataValue>([^<]*)<")


def declared_validity(dataset: Any, name: str, rgb: tuple[int, int, int], given: Nodata, *, quiet: bool) -> Validity:
    """Alpha band, mask and nodata values of an open file.

    Warns of a nodata value that the pixels cannot have, which GDAL ignores without a word.

    Args:
        name: for messages.
        given: what the user says in place of the file.
        quiet: the user chose the bands, so that nothing is said about them.

    Raises:
        SettingsError: the pixels cannot have the value that the user gives.
    """
    if given == "none":
        return Validity()
    flags = dataset.mask_flag_enums[rgb[0] - 1]
    masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    alpha = choose_alpha(dataset, name, rgb, quiet=quiet)
    dtypes = [dataset.dtypes[band - 1] for band in rgb]
    if given is not None:
        value = float(given)
        if any(applicable(value, dtype) is None for dtype in dtypes):
            raise SettingsError(
                f"{name} has {dtypes[0]} pixels, which cannot be {value:g}; give another --nodata, or none"
            )
        return Validity(alpha, masked, (value,) * 3)
    said = [dataset.nodatavals[band - 1] for band in rgb]
    values = tuple(applicable(value, dtype) for value, dtype in zip(said, dtypes, strict=True))
    if values == NONE and not dtypes[0].startswith("float") and (text := _as_text(dataset)):
        warnings.warn(
            f"{name} says that {text} is nodata, which its {dtypes[0]} pixels cannot be, so that it hides none; "
            "say which value is with --nodata VALUE, or --nodata none",
            stacklevel=4,
        )
    return Validity(alpha, masked, values)


def _as_text(dataset: Any) -> str | None:
    """The nodata value as the file has it; rasterio does not tell of one that the pixels cannot have."""
    try:
        if dataset.driver == "VRT":
            text = dataset.tags(ns="xml:VRT").get("xml:VRT", "")
        else:
            with MemoryFile(ext=".vrt") as file:
                rasterio.shutil.copy(dataset, file.name, driver="VRT")
                text = file.read().decode(errors="replace")
    except GDAL_ERRORS:
        return None
    found = NODATA.search(text)
    return found[1].strip() if found else None
