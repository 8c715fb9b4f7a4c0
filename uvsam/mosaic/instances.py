"""Masks of the generalist onto the scene's grid, and one score out of them and the specialist's.

An instance is the answer to one prompt: one region in one crop. It speaks about the ground around its prompt's box and
about no other. All arithmetic is in log-odds on absolute positions, in an order that is fixed by the regions and the
crops' places, so that a pixel depends neither on the block it is computed in nor on the order of the work.
"""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.special import expit, logit

from uvsam.engine.executors import Run, here, in_order
from uvsam.errors import OutputError
from uvsam.mosaic.regions import Regions, RegionStrip
from uvsam.mosaic.runs import by_blocks, values_along
from uvsam.mosaic.scores import LEVELS, block_shape, lowest_level, quantise
from uvsam.progress import Progress, silent
from uvsam.prompts import CELLS
from uvsam.raster.access import open_dataset, read_window
from uvsam.raster.resample import upsample_scores
from uvsam.raster.window import Window, hull
from uvsam.raster.writer import RasterCopy, RasterWriter, quick_compression

Floats = NDArray[np.float32]
FuseRule = Callable[[Floats, Floats], Floats]

NUDGE = np.float32(1.5)

FUSE: dict[str, FuseRule] = {
    "sam": lambda generalist, specialist: generalist,
    "mean": lambda generalist, specialist: (generalist + specialist) * np.float32(0.5),
    "nudge": lambda generalist, specialist: specialist + NUDGE * np.tanh(generalist / NUDGE),
    "specialist": lambda generalist, specialist: specialist,
}
"""What the log-odds of a pixel become where the generalist speaks, from its own and the specialist's.

All are relative to the outline, where they are 0. With ``nudge``, the generalist decides where the specialist is in
doubt: it moves log-odds by at most :data:`NUDGE`, from 0.5 to 0.18 or 0.82, and cannot turn what is surer than that.
"""


def log_odds(values: NDArray[np.uint8]) -> Floats:
    """Log-odds of the scores of bytes; NaN where nothing was looked at. The first and last byte stand for half a step.

    Law: ``quantise(expit(log_odds(values)), values > 0) == values``.
    """
    score = np.clip((np.arange(256) - 1) / LEVELS, 0.25 / LEVELS, 1 - 0.25 / LEVELS)
    table: Floats = logit(score).astype(np.float32)
    table[0] = np.nan
    return table[values]


def outline_log_odds(threshold: float) -> float:
    """Log-odds half a level below the first byte that reaches a threshold: where the outline runs between two pixels.

    Generalists outline at 0. Log-odds relative to this are above 0 for exactly the pixels that reach the threshold.
    """
    level = min(max(lowest_level(threshold), 2), LEVELS + 1)
    return float(logit((level - 1.5) / LEVELS))


def ground_window(
    cells: tuple[float, float, float, float], cell_xy: tuple[float, float], shape: tuple[int, int]
) -> Window:
    """Scene pixels whose centres lie in a rectangle of cells (first row, first column, end row, end column)."""
    x, y = cell_xy
    top, left, bottom, right = (
        max(0, math.ceil(edge * size - 0.5)) for edge, size in zip(cells, (y, x, y, x), strict=True)
    )
    bottom, right = min(bottom, shape[0]), min(right, shape[1])
    return Window(top, left, max(0, bottom - top), max(0, right - left))


@dataclass(frozen=True)
class Instance:
    """One mask.

    Attributes:
        region: whose.
        crop: its 256 x 256 cells.
        ground: scene pixels it speaks about, inside the crop.
    """

    region: int
    crop: Window
    ground: Window


class Instances:
    """Masks of any number, kept in a file: memory holds where they lie, 128 KB of disk each what they say.

    Args:
        path: a file to be made; leaving the context closes it.
        cell_xy: scene pixels per cell (x, y).

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(self, path: Path, cell_xy: tuple[float, float]) -> None:
        self.cell_xy = cell_xy
        self._path = path
        self._all: list[Instance] = []
        try:
            self._file = path.open("w+b")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, instance: Instance, mask: Floats) -> None:
        """Keep the log-odds of a mask (256, 256), 0 along its outline, in half precision.

        Raises:
            OutputError: the disk is full.
        """
        try:
            self._file.seek(0, 2)
            self._file.write(np.clip(mask, -100, 100).astype(np.float16).tobytes())
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error
        self._all.append(instance)

    def read(self, index: int) -> Floats:
        """Mask number ``index`` (256, 256); may be asked by several threads."""
        size = CELLS * CELLS * 2
        cells = np.frombuffer(os.pread(self._file.fileno(), size, index * size), np.float16)
        return cells.reshape(CELLS, CELLS).astype(np.float32)

    def by_block(self, block_px: tuple[int, int]) -> dict[tuple[int, int], list[int]]:
        """For each block of the scene that masks speak about, their numbers, by region and place of the crop."""
        height, width = block_px
        blocks: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index in sorted(range(len(self)), key=lambda index: (self._all[index].region, self._all[index].crop)):
            ground = self._all[index].ground
            for row in range(ground.row // height, -(-ground.row_stop // height)):
                for col in range(ground.col // width, -(-ground.col_stop // width)):
                    blocks[row, col].append(index)
        return blocks

    def ground(self, numbers: Iterable[int], window: Window) -> Window:
        """The smallest part of a window that holds all that masks speak about in it."""
        parts = [self._all[index].ground.intersection(window) for index in numbers]
        return hull([part for part in parts if part.height and part.width])

    def of_regions(self, numbers: Iterable[int], window: Window) -> Iterator[tuple[int, Window, Floats]]:
        """What the masks say in a window: region, part of the window, log-odds there (NaN where they say nothing).

        Masks of one region are averaged with weights that fall from the centre of their crops to the rim: where one
        crop ends, the other has taken over.

        Args:
            numbers: of masks, those of a region together.
        """
        for region, group in groupby(numbers, key=lambda index: self._all[index].region):
            indexes = list(group)
            parts = [self._all[index].ground.intersection(window) for index in indexes]
            whole = hull(parts)
            total, weight = np.zeros((2, *whole.shape), np.float32)
            for index, part in zip(indexes, parts, strict=True):
                crop = self._all[index].crop
                inside = part.within(whole).slices
                importance = _rim_weight(crop, part, self.cell_xy)
                total[inside] += importance * upsample_scores(self.read(index), crop, part, self.cell_xy)
                weight[inside] += importance
            said = weight > 0
            yield region, whole, np.where(said, total / np.where(said, weight, 1), np.float32(np.nan))


def _rim_weight(crop: Window, part: Window, cell_xy: tuple[float, float]) -> Floats:
    """1 in the middle of a crop, 0 along its rim: weights are shared where crops overlap."""
    x, y = cell_xy
    rows = (np.arange(part.row, part.row_stop) + 0.5) / y - crop.row
    cols = (np.arange(part.col, part.col_stop) + 0.5) / x - crop.col
    down, across = (np.maximum(0, 1 - np.abs(place / (CELLS / 2) - 1)) for place in (rows, cols))
    weight: Floats = (down[:, None] * across).astype(np.float32)
    return weight


def fuse_block(
    values: NDArray[np.uint8],
    labels: NDArray[np.int32],
    window: Window,
    instances: Instances,
    numbers: Iterable[int],
    rule: FuseRule,
    outline: float,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Scores of a block with what the generalist says, and whose word it was.

    A region can grow and shrink by its own masks alone. Where several speak, the most confident in village holds: that
    a pixel does not belong to one region says nothing about the next. Ground of a region that its own masks do not
    reach, or that has none, stays what the specialist said, unless a neighbour claims it.

    Args:
        values: (H, W) bytes of the specialist's scores.
        labels: (H, W) regions of these scores.
        window: place of the block in the scene.
        numbers: masks that speak about the block, those of a region together (:meth:`Instances.by_block`).
        rule: a value of :data:`FUSE`.
        outline: log-odds of a score where the masks have 0 (:func:`outline_log_odds`).

    Returns:
        (H, W) bytes, those of ``values`` where no mask speaks; (H, W) region whose masks decided, 0 for none.
    """
    specialist = log_odds(values) - np.float32(outline)
    best = np.full(window.shape, -np.inf, np.float32)
    owner = np.zeros(window.shape, np.int32)
    own_word = np.zeros(window.shape, bool)
    for region, part, said in instances.of_regions(numbers, window):
        place = part.within(window).slices
        better = said > best[place]
        best[place] = np.where(better, said, best[place])
        owner[place] = np.where(better, region, owner[place])
        own_word[place] |= (labels[place] == region) & ~np.isnan(said)
    spoken = (owner > 0) & (values > 0)
    fused = rule(np.where(spoken, best, 0), specialist)
    keeps = (labels > 0) & ~own_word & ~(fused > specialist)
    spoken &= ~keeps
    score: Floats = expit(fused + np.float32(outline))
    return np.where(spoken, quantise(score, values > 0), values), np.where(spoken, owner, 0)


def fuse_scores(
    scores_path: Path,
    labels_path: Path,
    instances: Instances,
    geobox: GeoBox,
    rule: str,
    outline: float,
    out_path: Path,
    owner_path: Path,
    *,
    run: Run = here,
    progress: Progress = silent,
) -> int:
    """Write the refined score raster, and an int32 raster of the regions whose masks decided, where masks speak.

    Args:
        scores_path: the specialist's scores (see ``mosaic.scores``).
        labels_path: their regions (:func:`uvsam.mosaic.regions.write_regions`).
        rule: a key of :data:`FUSE`.
        outline: log-odds of a score where the masks have 0 (:func:`outline_log_odds`).
        run: threads of this process.

    Returns:
        Pixels on which the generalist decided.

    Raises:
        OutputError: a raster cannot be written.
    """
    pixels = 0
    (height, width), block = geobox.shape, block_shape(scores_path)

    def fuse(task: _Block) -> tuple[Window, NDArray[np.uint8], NDArray[np.int32]]:
        window, values, part, labels, numbers = task
        owner = np.zeros(window.shape, np.int32)
        place = part.within(window).slices
        values[place], owner[place] = fuse_block(values[place], labels, part, instances, numbers, FUSE[rule], outline)
        return window, values, owner

    with (
        open_dataset(str(scores_path)) as scores,
        open_dataset(str(labels_path)) as labels,
        RasterCopy(out_path, scores_path) as refined,
        RasterWriter(owner_path, geobox, dtype="int32", nodata=0, block_px=block, **quick_compression()) as owners,
    ):
        spoken = instances.by_block(block)

        def tasks() -> Iterator[_Block]:  # read here, as a dataset is for one thread
            for (row, col), numbers in sorted(spoken.items()):
                window = Window(row * block[0], col * block[1], *block).intersection(Window(0, 0, height, width))
                part = instances.ground(numbers, window)
                yield _Block(window, read_window(scores, window), part, read_window(labels, part), numbers)

        for done, (window, values, owner) in enumerate(in_order(run, fuse, tasks()), start=1):
            refined.write(values, window.row, window.col)
            owners.write(owner, window.row, window.col)
            pixels += int(np.count_nonzero(owner))
            progress("putting outlines together (blocks)", done, len(spoken))
    return pixels


class _Block(NamedTuple):
    """A block of the score raster and its scores; the part of it that masks speak about, and its regions."""

    window: Window
    values: NDArray[np.uint8]
    part: Window
    labels: NDArray[np.int32]
    numbers: list[int]


@dataclass(frozen=True, eq=False)
class Support:
    """What the generalist says of its own masks, for regions of the refined scores.

    Attributes:
        owner_path: int32 raster of the regions whose masks decided, 0 for none.
        values: one array (N + 1,) for each statement, by the number of that region; NaN where it has no mask.
    """

    owner_path: Path
    values: dict[str, NDArray[np.float64]]

    def means(self, regions: Regions, *, run: Run = here) -> dict[str, NDArray[np.float64]]:
        """Mean of each statement over the pixels of each region (N,) that the generalist decided on, NaN without any.

        Args:
            regions: of the refined score raster.
            run: where strips are looked at.
        """
        count = np.zeros(len(regions) + 1)
        sums = {name: np.zeros(len(regions) + 1) for name in self.values}
        for where, owner, pixels in in_order(run, _owners, ((strip, self.owner_path) for strip in regions.strips)):
            count += np.bincount(where, pixels, minlength=len(count))
            for name, values in self.values.items():
                sums[name] += np.bincount(where, values[owner] * pixels, minlength=len(count))
        with np.errstate(invalid="ignore"):
            return {name: (total / count)[1:] for name, total in sums.items()}


def _owners(task: tuple[RegionStrip, Path]) -> NDArray[np.int64]:
    """(3, K): region, the one whose masks decided, and pixels of both, in a strip."""
    strip, owner_path = task
    pairs = []
    with open_dataset(str(owner_path)) as dataset:
        for window, runs in by_blocks(strip.runs(), strip.rows, block_shape(owner_path), dataset.width):
            label, owner = values_along(runs, read_window(dataset, window), window.row, window.col)
            pairs.append(label.astype(np.int64) << 32 | owner)
    pair = np.concatenate(pairs)  # a strip of none is no task
    begins = np.flatnonzero(np.diff(pair, prepend=-1))
    kinds, of = np.unique(pair[begins], return_inverse=True)
    pixels = np.bincount(of, np.diff(begins, append=len(pair))).astype(np.int64)
    found = np.stack([kinds >> 32, kinds & (2**32 - 1), pixels])
    return found[:, found[1] > 0]
