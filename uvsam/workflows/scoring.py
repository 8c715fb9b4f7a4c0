"""Pass A: every tile of a scene through the specialist, its scores on the scene's own grid, on disk."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from uvsam.models.specialist import Specialist
from uvsam.mosaic.scores import quantise
from uvsam.progress import Progress, silent
from uvsam.raster.chips import Chip, SceneReader
from uvsam.raster.radiometry import Stretch
from uvsam.raster.resample import upsample_scores
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window
from uvsam.raster.writer import RasterWriter
from uvsam.tiles import Tile, TilePlan
from uvsam.workflows.ahead import read_ahead


@dataclass(frozen=True)
class Scored:
    """What pass A did.

    Attributes:
        tiles: all tiles of the scene.
        computed: tiles that had something to look at.
        pixels: scene pixels that were looked at.
        model_pixels: pixels the network saw, halos included.
    """

    tiles: int
    computed: int
    pixels: int
    model_pixels: int


class ReadTile(NamedTuple):
    """A tile with what was read for it; ``chip`` is None where nothing is to be looked at."""

    tile: Tile
    chip: Chip | None
    valid: NDArray[np.bool_]


def score_scene(
    scene: Scene,
    stretch: Stretch,
    specialist: Specialist,
    plan: TilePlan,
    path: Path,
    *,
    area_px: BaseGeometry | None = None,
    batch: int = 2,
    views: int = 1,
    float16_path: Path | None = None,
    progress: Progress = silent,
) -> Scored:
    """Write the score raster of a scene: uint8, 0 where nothing was looked at (see ``mosaic.scores``).

    Memory depends on the chip size and the batch only. Reading runs one step ahead of computing, in a thread.

    Args:
        area_px: only pixels whose centre lies inside are looked at; in pixel coordinates (x = column, y = row).
        float16_path: also write the scores in half precision, NaN where nothing was looked at.
    """
    tiles = computed = pixels = 0
    with (
        SceneReader(scene, stretch) as reader,
        ThreadPoolExecutor(1, "read") as thread,
        RasterWriter(path, scene.geobox, nodata=0, block_px=plan.core_px, zlevel=1) as writer,
        closing(read_ahead(thread, lambda tile: read_tile(reader, plan, tile, area_px), plan, 2 * batch)) as ahead,
        ExitStack() as stack,
    ):
        exact = None
        if float16_path is not None:  # GDAL's way to store half precision: float32 with 16 bits
            exact = stack.enter_context(
                RasterWriter(
                    float16_path, scene.geobox, dtype="float32", nodata=math.nan, block_px=plan.core_px, NBITS=16
                )
            )
        while group := list(islice(ahead, batch)):
            to_score = [item for item in group if item.chip is not None]
            for item, scores in zip(to_score, _scores(specialist, to_score, views), strict=True):
                core = item.tile.core
                full = upsample_scores(scores, item.tile.chip, core, plan.scale_xy, model_shape=plan.model_shape)
                writer.write(quantise(full, item.valid), core.row, core.col)
                if exact is not None:
                    exact.write(np.where(item.valid, full, np.float32(math.nan)), core.row, core.col)
                pixels += int(item.valid.sum())
            computed += len(to_score)
            tiles += len(group)
            progress("looking for villages", tiles, len(plan))
    return Scored(tiles, computed, pixels, computed * plan.chip_px[0] * plan.chip_px[1])


def _scores(specialist: Specialist, items: list[ReadTile], views: int) -> NDArray[np.float32]:
    chips = [item.chip for item in items if item.chip is not None]
    if not chips:
        return np.empty((0, 0, 0), np.float32)
    pixels = torch.from_numpy(np.stack([chip.pixels for chip in chips]))
    valid = torch.from_numpy(np.stack([chip.valid for chip in chips]))
    scores: NDArray[np.float32] = specialist.scores(pixels, valid, views=views).numpy()
    return scores


def read_tile(reader: SceneReader, plan: TilePlan, tile: Tile, area_px: BaseGeometry | None) -> ReadTile:
    """Read what the network needs for a tile, and which pixels of its core are to be looked at."""
    valid = np.ones(tile.core.shape, bool)
    if area_px is not None:
        valid = _inside(area_px, tile.core)
        if not valid.any():
            return ReadTile(tile, None, valid)
    if plan.scale_xy == (1.0, 1.0):
        chip = reader.read(tile.chip)
        inner = Window(tile.core.row - tile.chip.row, tile.core.col - tile.chip.col, *tile.core.shape)
        valid &= chip.valid[inner.slices]
        return ReadTile(tile, chip if valid.any() else None, valid)
    valid &= reader.read(tile.core).valid
    chip_or_none = reader.read_resampled(tile.chip, plan.scale_xy) if valid.any() else None
    return ReadTile(tile, chip_or_none, valid)


def _inside(area_px: BaseGeometry, window: Window) -> NDArray[np.bool_]:
    box = shapely.box(window.col, window.row, window.col_stop, window.row_stop)
    if shapely.contains_properly(area_px, box):
        return np.ones(window.shape, bool)
    part = shapely.clip_by_rect(area_px, *box.bounds)
    if part.is_empty:
        return np.zeros(window.shape, bool)
    inside: NDArray[np.bool_] = geometry_mask(
        [part], window.shape, Affine.translation(window.col, window.row), invert=True
    )
    return inside
