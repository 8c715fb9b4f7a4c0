"""What a file asks of this machine, looked up in its headers before anything of it is read."""

import itertools
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from uvsam.errors import SceneError

MAX_BLOCK_BYTES = 2**29
DIRECTORIES = 64
"""Images inside of one TIFF that are looked at: its masks and overviews; a real one has some 20."""
WHOLE = re.compile(r"<SourceFilename[^>]*>\s*((?:https?|ftp)://[^<]*)<", re.IGNORECASE)
PYTHON = re.compile(r"<PixelFunctionLanguage>\s*Python", re.IGNORECASE)


def check_limits(dataset: Any) -> None:
    """Refuse what cannot be read in little memory, or what is not to be read at all.

    Looks at the image itself, and at all local files that it is made of: sources of a VRT, masks, overviews.

    Raises:
        SceneError: a block is too large, a VRT holds Python code, reads from a pipe, or names an address that would be
            downloaded as a whole, or a TIFF holds no pixel.
    """
    _check(dataset)
    waiting, seen = list(_local_files(dataset)), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        check_regular(path)
        for part in _images(path):
            _check(part)
            waiting += _local_files(part)
    _check_not_hollow(dataset)


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: opening one can wait for ever.

    Raises:
        SceneError: it is neither a file nor a folder.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SceneError(f"{path} is a pipe or a device; save it to a file first")


def _check(dataset: Any) -> None:
    for (height, width), kind in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
        size = height * width * together * (16 if kind.startswith("complex") else np.dtype(kind).itemsize)
        if size > MAX_BLOCK_BYTES:
            path = dataset.files[0] if dataset.files else dataset.name
            raise SceneError(
                f"{path} keeps {width} x {height} pixels in one block, so that reading any of them takes "
                f"{size / 2**30:.3g} GB of memory; cut it into small tiles on a machine that has it: "
                f"gdal_translate -co TILED=YES -co COMPRESS=DEFLATE -co BIGTIFF=IF_SAFER {path} tiled.tif"
            )
    text = "".join(dataset.tags(ns="xml:VRT").values()) if dataset.driver == "VRT" else ""
    if whole := WHOLE.search(text):
        raise SceneError(
            f"{dataset.name} names {whole[1]}, which GDAL would download as a whole; "
            f"write /vsicurl/{whole[1]} there, of which it reads what is needed"
        )
    if PYTHON.search(text):
        raise SceneError(
            f"{dataset.name} computes its pixels with Python code, which is never run; "
            "if you trust it, make a plain file of it with gdal_translate first"
        )


def _local_files(dataset: Any) -> Iterator[Path]:
    for path in map(Path, dataset.files):
        try:
            if path.exists():
                yield path
        except OSError:  # a loop of links, a folder that is closed to us: reading will tell
            continue


def _images(path: Path) -> Iterator[Any]:
    """The images in a file, open one after the other; none if it is something else."""
    for number in itertools.count(1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                dataset = rasterio.open(path if number == 1 else f"GTIFF_DIR:{number}:{path}")
            except (RasterioError, OSError):
                return
            with dataset:
                yield dataset
                if dataset.driver != "GTiff" or number == DIRECTORIES:
                    return


def _check_not_hollow(dataset: Any) -> None:
    """A TIFF none of whose blocks was ever written reads as black, however large its header says that it is."""
    if dataset.driver != "GTiff":
        return
    height, width = dataset.block_shapes[0]
    rows, cols = -(-dataset.height // height), -(-dataset.width // width)
    step = max(1, rows * cols // 1000)
    every_index = itertools.chain(range(0, rows * cols, step), range(rows * cols))
    blocks = (f"BLOCK_OFFSET_{index % cols}_{index // cols}" for index in every_index)
    if not any(int(dataset.get_tag_item(block, "TIFF", bidx=1) or 0) for block in blocks):
        raise SceneError(f"{dataset.name} is empty: none of its {dataset.width} x {dataset.height} pixels was written")
