"""What a file asks of this machine, looked up in its headers before anything of it is read."""

import itertools
import posixpath
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import Interleaving

from uvsam.errors import SceneError
from uvsam.raster.access import opened
from uvsam.raster.names import exists, is_on_network, parse
from uvsam.raster.references import Part, References, names_in_vrt

MAX_BLOCK_BYTES = 2**29
DIRECTORIES = 64
"""Images inside of one TIFF that are looked at: its masks and overviews; a real one has some 20."""
PYTHON = re.compile(r"<PixelFunctionLanguage>\s*Python", re.IGNORECASE)


def check_limits(dataset: Any, references: References, *, may_be_hollow: bool = False) -> None:
    """Refuse what cannot be read in little memory, or what is not to be read at all.

    Looks at the image itself, and at all that it is made of: sources of a VRT, masks, overviews.

    Args:
        dataset: the image, open.
        references: what was followed before it was opened.
        may_be_hollow: a TIFF without a pixel is one of zeros, as labels may be.

    Raises:
        SceneError: a block is too large, a VRT holds Python code, reads from a pipe, or names an address that would be
            downloaded as a whole, a part is of no format that is read, or no TIFF holds a pixel.
    """
    seen: set[Part] = set()
    hollow = _look_at(dataset, references)
    while waiting := [part for part in references.parts.values() if part not in seen]:
        seen.update(waiting)
        for part in waiting:
            for image in _images(part, dataset):
                found = _look_at(image, references)
                hollow = found if hollow is None else hollow and found is not False
    if hollow and not may_be_hollow:
        raise SceneError(f"{dataset.name} is empty: none of its {dataset.width} x {dataset.height} pixels was written")


def _look_at(dataset: Any, references: References) -> bool | None:
    """Check one image, and follow what it names; whether it is a TIFF without a pixel, None where that is not told."""
    _check(dataset)
    below = []
    if dataset.driver == "VRT":  # of those on the network and in memory nothing was known before
        text = "".join(dataset.tags(ns="xml:VRT").values())
        below = names_in_vrt(text, posixpath.dirname(dataset.name), dataset.name)
    elif elsewhere := dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
        below = [Part(elsewhere.removeprefix(":::BASE:::"))]
    remote = is_on_network(dataset.name)
    for part in below:
        if remote and not part.name.startswith("<") and not is_on_network(part.name):
            raise SceneError(f"{dataset.name} names {part.name}, a file of this machine; download it first")
        references.follow(part)
    return _is_hollow(dataset) if dataset.driver == "GTiff" else None


def _check(dataset: Any) -> None:
    for (height, width), kind in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
        size = height * width * together * (16 if kind.startswith("complex") else np.dtype(kind).itemsize)
        if size > MAX_BLOCK_BYTES:
            path = dataset.files[0] if dataset.files else dataset.name
            raise SceneError(
                f"{path} keeps {width} x {height} pixels in one block, so that reading any of them takes "
                f"{size / 2**30:.3g} GB of memory; cut it into small tiles on a machine that has it: "
                f"gdal_translate -co TILED=YES -co COMPRESS=DEFLATE -co BIGTIFF=IF_SAFER {shlex.quote(path)} tiled.tif"
            )
    text = "".join(dataset.tags(ns="xml:VRT").values()) if dataset.driver == "VRT" else ""
    if PYTHON.search(text):
        raise SceneError(
            f"{dataset.name} computes its pixels with Python code, which is never run; "
            "if you trust it, make a plain file of it with gdal_translate first"
        )


def _images(part: Part, whole: Any) -> Iterator[Any]:
    """The images in a part, open one after the other; none if it is missing, which reading will tell."""
    name = parse(part.name)
    if not part.is_image or not (name.is_remote or name.in_memory or exists(name.file)):
        return
    if not name.is_remote and not name.layers and Path(name.file).is_dir():
        return
    with opened(part.name) as dataset:
        yield dataset
        if dataset.driver != "GTiff" or name.is_remote or any(kind == "page" for kind, _ in name.layers):
            return
    for number in itertools.count(2):
        try:
            dataset = opened(f"GTIFF_DIR:{number}:{part.name}")
        except SceneError:
            return
        with dataset:
            yield dataset
            if number == DIRECTORIES:
                return


def _is_hollow(dataset: Any) -> bool:
    """Whether no block of a TIFF was ever written: it reads as black, however large its header says that it is."""
    height, width = dataset.block_shapes[0]
    rows, cols = -(-dataset.height // height), -(-dataset.width // width)
    step = max(1, rows * cols // 1000)
    every_index = itertools.chain(range(0, rows * cols, step), range(rows * cols))
    blocks = (f"BLOCK_OFFSET_{index % cols}_{index // cols}" for index in every_index)
    return not any(int(dataset.get_tag_item(block, "TIFF", bidx=1) or 0) for block in blocks)
