"""Pass A: every tile of a scene through the specialist, its scores on the scene's own grid, on disk."""

import math
import struct
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from uvsam.engine.journal import Log
from uvsam.engine.pipeline import Done, pipeline
from uvsam.engine.work import ALONE, Share, complete
from uvsam.mosaic.scores import quantise
from uvsam.progress import Progress, silent
from uvsam.raster.chips import Chip, SceneReader
from uvsam.raster.radiometry import Stretch
from uvsam.raster.resample import upsample_scores
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window
from uvsam.raster.writer import RasterWriter, quick_compression
from uvsam.tiles import Tile, TilePlan

if TYPE_CHECKING:
    from torch import Tensor

_RECORD = struct.Struct("<QI")


class Scorer(Protocol):
    """What pass A needs of a specialist; see :meth:`uvsam.models.specialist.Specialist.scores`."""

    def scores(self, pixels: "Tensor", valid: "Tensor", *, views: int = 1) -> "Tensor": ...


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


@dataclass(frozen=True)
class Scoring:
    """How tiles are scored; small and picklable.

    Attributes:
        area_px: only pixels whose centre lies inside are looked at; in pixel coordinates (x = column, y = row).
        exact: also keep the scores in half precision.
    """

    scene: Scene
    stretch: Stretch
    plan: TilePlan
    area_px: BaseGeometry | None = None
    views: int = 1
    exact: bool = False

    def reader(self) -> SceneReader:
        """Of the scene."""
        return SceneReader(self.scene, self.stretch)

    def records(
        self, model: Scorer, reader: SceneReader, keys: Iterable[int], *, threads: int = 1, batch: int = 1
    ) -> Generator[Done]:
        """The scores of tiles; see :class:`uvsam.engine.work.Work`. Each thread computes on one core."""

        def compute(items: Sequence[ReadTile]) -> list[bytes]:
            return [self._record(item, scores) for item, scores in zip(items, self._scores(model, items), strict=True)]

        return pipeline(
            keys, lambda key: read_tile(reader, self.plan, self.plan[key], self.area_px), compute,
            threads=threads, batch=batch, initializer=one_core,
        )  # fmt: skip

    def array(self, model: Scorer, *, threads: int = 1, progress: Progress = silent) -> NDArray[np.float32]:
        """The scores of a whole scene in memory (H, W) float32, NaN where nothing was looked at.

        Raises:
            SceneError, RuntimeError: a tile cannot be read or computed.
        """
        found = np.full(self.scene.shape, math.nan, np.float32)

        def compute(items: Sequence[ReadTile]) -> list[None]:
            for item, scores in zip(items, self._scores(model, items), strict=True):
                if scores is not None:
                    found[item.tile.core.slices] = np.where(item.valid, self._upsampled(item, scores), math.nan)
            return [None] * len(items)

        with self.reader() as reader, closing(
            pipeline(
                range(len(self.plan)), lambda key: read_tile(reader, self.plan, self.plan[key], self.area_px), compute,
                threads=threads, initializer=one_core,
            )
        ) as pieces:  # fmt: skip
            for done, piece in enumerate(pieces, 1):
                if piece.error is not None:
                    raise piece.error
                progress("looking for villages", done, len(self.plan))
        return found

    def _upsampled(self, item: ReadTile, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        plan, tile = self.plan, item.tile
        return upsample_scores(scores, tile.chip, tile.core, plan.scale_xy, model_shape=plan.model_shape)

    def _scores(self, scorer: Scorer, items: Sequence[ReadTile]) -> list[NDArray[np.float32] | None]:
        chips = [item.chip for item in items if item.chip is not None]
        if not chips:
            return [None] * len(items)
        pixels, valid = _batch([chip.pixels for chip in chips]), _batch([chip.valid for chip in chips])
        scores = iter(scorer.scores(pixels, valid, views=self.views).numpy())
        return [None if item.chip is None else next(scores) for item in items]

    def _record(self, item: ReadTile, scores: NDArray[np.float32] | None) -> bytes:
        if scores is None:
            return b""
        full = self._upsampled(item, scores)
        levels = zlib.compress(quantise(full, item.valid).tobytes(), 1)
        exact = b""
        if self.exact:
            exact = zlib.compress(np.where(item.valid, full, np.float32(math.nan)).astype(np.float16).tobytes(), 1)
        return _RECORD.pack(int(item.valid.sum()), len(levels)) + levels + exact


def score_scene(
    scoring: Scoring, scorer: Scorer | None, path: Path, log: Log, share: Share = ALONE, *,
    float16_path: Path | None = None, progress: Progress = silent,
) -> tuple[Scored, dict[int, Exception]]:  # fmt: skip
    """Write the score raster of a scene: uint8, 0 where nothing was looked at (see ``mosaic.scores``).

    Memory depends on the chip size, the batch and the threads only. Law: neither these, nor the order of tiles, nor
    where they are computed changes a byte, on one kind of processor.

    Args:
        scorer: None where ``share`` says that others compute.
        log: tiles that are in it are not computed again.
        float16_path: also write the scores in half precision, NaN where nothing was looked at.

    Returns:
        What was done, and tiles that could not be read or computed, twice, with the error.

    Raises:
        OutputError: the disk is full.
    """
    plan = scoring.plan
    failed = complete(
        scoring, scorer, len(plan), log, share, lambda done: progress("looking for villages", done, len(plan))
    )
    return _assemble(scoring, log, path, float16_path), failed


def _assemble(scoring: Scoring, log: Log, path: Path, float16_path: Path | None) -> Scored:
    plan, geobox = scoring.plan, scoring.scene.geobox
    computed = pixels = 0
    with ExitStack() as stack:
        writer = stack.enter_context(RasterWriter(path, geobox, nodata=0, block_px=plan.core_px, **quick_compression()))
        exact = None
        if float16_path is not None:  # GDAL's way to store half precision: float32 with 16 bits
            options = {"dtype": "float32", "nodata": math.nan, "block_px": plan.core_px, "NBITS": 16}
            exact = stack.enter_context(RasterWriter(float16_path, geobox, **options))  # type: ignore[arg-type]
        for tile in plan:
            record = log.read(tile.index) if tile.index in log else b""
            if not record:
                continue
            inside, length = _RECORD.unpack_from(record)
            computed, pixels = computed + 1, pixels + inside
            levels = zlib.decompress(record[_RECORD.size : _RECORD.size + length])
            core = tile.core
            writer.write(np.frombuffer(levels, np.uint8).reshape(core.shape), core.row, core.col)
            if exact is not None:
                half = np.frombuffer(zlib.decompress(record[_RECORD.size + length :]), np.float16)
                exact.write(half.reshape(core.shape).astype(np.float32), core.row, core.col)
    return Scored(len(plan), computed, pixels, computed * plan.chip_px[0] * plan.chip_px[1])


def _batch(arrays: Sequence[NDArray[Any]]) -> "Tensor":
    import torch  # only where models compute

    return torch.from_numpy(arrays[0][None] if len(arrays) == 1 else np.stack(arrays))


def one_core() -> None:
    """Cores are shared out over tiles: a sum over several would be rounded differently with their number."""
    import torch

    torch.set_num_threads(1)


def read_tile(reader: SceneReader, plan: TilePlan, tile: Tile, area_px: BaseGeometry | None) -> ReadTile:
    """Read what the network needs for a tile, and which pixels of its core are to be looked at."""
    valid = np.ones(tile.core.shape, bool)
    if area_px is not None:
        valid = _inside(area_px, tile.core)
        if not valid.any():
            return ReadTile(tile, None, valid)
    if plan.scale_xy == (1.0, 1.0):
        chip = reader.read(tile.chip)
        valid &= chip.valid[tile.core.within(tile.chip).slices]
        return ReadTile(tile, chip if valid.any() else None, valid)
    valid &= reader.read_valid(tile.core)
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
