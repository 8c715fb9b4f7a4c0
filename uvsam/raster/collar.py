"""Collars that a file does not tell of: regions of one value that reach the edge, and blocks that were never written.

A warped or cropped image is black or white where it shows nothing. Real pixels are black or white too, so that a collar
is what hangs together with the edge of the image (or of its data), and is large. Few places are looked at; only where
they show one value is the region followed, piece by piece.
"""

import heapq
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from uvsam.errors import SceneError
from uvsam.raster.access import is_remote, open_dataset
from uvsam.raster.pixels import read_raw
from uvsam.raster.scene import Scene
from uvsam.raster.validity import Collar, has_value, packed
from uvsam.raster.window import Window

PLACE_PX, PLACES, REMOTE_PLACES = 64, 8, 2
PIECE_PX, CELL_PX = 1024, 32
SMALL_PX = 30_000
"""A remote image is looked at through overviews of at least so many pixels."""
PART_OF_PLACE = 0.15
LEAST_SHARE = 0.005
LEAST_EDGE, LEAST_DEEP = 1.5, 0.82
MOST_COLLARS = 2
NOISE = 4
"""How far pixels of a collar may be from its value after lossy compression (8 bits)."""
LOSSY = {"jpeg", "webp", "jxl", "lerc_jpeg"}
LOSSY_DRIVERS = {"JPEG", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "ECW", "MrSID", "WEBP"}
BLOCKS = 100_000

Pixels = tuple[NDArray[Any], NDArray[np.bool_]]


def with_collars(scene: Scene) -> Scene:
    """The scene with what it does not tell of as invalid; with a warning, as the user may know better.

    Raises:
        SceneError: the image cannot be opened.
    """
    found = find_collars(scene)
    if collars := found.validity.collars:
        told = " and ".join(describe(scene, collar) for collar in collars)
        number = collars[0].value
        exact = int(number) if float(number).is_integer() else number
        # one value can be said; of black and white, the other would be taken for ground without a word
        rid = f"; to be rid of this line: --nodata {exact}" if len(collars) == 1 else ""
        warnings.warn(
            f"{scene.name}: {told}, and the file does not say that this is nodata; it is taken to be. "
            f"If it shows ground: --nodata none{rid}",
            stacklevel=3,
        )
    return found


def describe(scene: Scene, collar: Collar) -> str:
    """``45 % of it is black (0) up to its edge``."""
    integer = np.dtype(scene.dtype).kind in "iu"
    names = {0.0: "black", float(np.iinfo(scene.dtype).max) if integer else math.nan: "white"}
    name = names.get(collar.value)
    value = f"{name} ({collar.value:g})" if name else f"of one value ({collar.value:g})"
    return f"{_percent(collar.share)} of it is {value} up to its edge"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def find_collars(scene: Scene) -> Scene:
    """The scene with its collars as invalid, without a word."""
    with open_dataset(scene.uri) as dataset:
        noise = NOISE * (scene.dtype == "uint8" and _is_lossy(dataset))
        missing = [] if scene.validity.masked else _missing_blocks(dataset, scene)
        for _ in range(MOST_COLLARS):
            view = _view(dataset, scene)
            value = 0.0 if missing and scene.nodata is None else _candidate(view, noise)
            collar = None if value is None else _follow(view, value, noise, missing, scene.shape)
            if collar is None:
                break
            validity = replace(scene.validity, collars=(*scene.validity.collars, collar))
            scene, missing = replace(scene, validity=validity), []
    return scene


@dataclass(frozen=True)
class _View:
    """A scene as it is read here: as it is, or decimated.

    Attributes:
        read: pixels of a window of the view.
        cells: (rows, columns).
        span: pixels of the view that all cells cover.
        coarse: decimated.
        endless: too dear to follow a region: every pixel of its value is taken.
    """

    shape: tuple[int, int]
    read: Callable[[Window], Pixels]
    cells: tuple[int, int]
    span: tuple[int, int]
    place_px: int = PLACE_PX
    places: int = PLACES
    coarse: bool = False
    endless: bool = False


def _view(dataset: Any, scene: Scene) -> _View:
    height, width = scene.shape
    cells = math.ceil(height / CELL_PX), math.ceil(width / CELL_PX)
    span = cells[0] * CELL_PX, cells[1] * CELL_PX

    def read(window: Window) -> Pixels:
        try:
            return read_raw(dataset, scene, window)
        except SceneError:  # damage is told of where it matters
            return np.zeros((3, *window.shape), scene.dtype), np.zeros(window.shape, bool)

    if not _is_far(dataset, scene) or height * width <= SMALL_PX:
        return _View(scene.shape, read, cells, span)
    factor = math.sqrt(height * width / SMALL_PX)
    if max([1, *dataset.overviews(scene.bands[0])]) < factor / 2:
        return _View(scene.shape, read, cells, span, places=REMOTE_PLACES, endless=True)
    shape = math.ceil(height / factor), math.ceil(width / factor)
    try:
        pixels, valid = read_raw(dataset, scene, Window(0, 0, height, width), shape)
    except SceneError:
        return _View(scene.shape, read, cells, span, places=REMOTE_PLACES, endless=True)

    def kept(window: Window) -> Pixels:
        return pixels[:, *window.slices], valid[window.slices]

    return _View(shape, kept, shape, shape, PLACE_PX // 4, coarse=True)


def _is_far(dataset: Any, scene: Scene) -> bool:
    """Whether pixels come over the network, as also through a VRT on this machine."""
    return is_remote(scene.uri) or (dataset.driver == "VRT" and any(map(is_remote, dataset.files)))


def _is_lossy(dataset: Any) -> bool:
    compression = dataset.compression
    return (compression is not None and compression.name.lower() in LOSSY) or dataset.driver in LOSSY_DRIVERS


def _candidate(view: _View, noise: int) -> float | None:
    """A value that fills much of a place at the edge, is an extreme of all that was seen, and not all of it."""
    seen = list(_looks(view, edge=True))
    found: dict[float, int] = {}
    for pixels, valid in seen:
        grey = pixels[0][valid & (pixels == pixels[0]).all(axis=0)]
        values, counts = np.unique(grey, return_counts=True)
        if len(counts) and counts.max() >= PART_OF_PLACE * valid.size:
            value = float(values[counts.argmax()])
            found[value] = found.get(value, 0) + int(counts.max())
    if not found:
        return None
    seen += _looks(view, edge=False)
    samples = np.concatenate([pixels[:, valid] for pixels, valid in seen], axis=1)
    for value in sorted(found, key=lambda one: -found[one]):
        others = samples[:, ~has_value(samples, value, noise)]
        if others.size and np.ptp(others) > 0 and _is_extreme(value, others, noise):
            return value
    return None


def _is_extreme(value: float, others: NDArray[Any], noise: int) -> bool:
    """Black, white, or beyond all that was seen: a sensor's brightest value is also that of single bands."""
    low, high = float(others.min()), float(others.max())
    if others.dtype.kind in "iu":
        limits = np.iinfo(others.dtype)
        if value - noise <= max(0, limits.min) or value + noise >= limits.max:
            return not low + noise < value < high - noise
    return not low - noise <= value <= high + noise


def _looks(view: _View, *, edge: bool) -> Iterator[Pixels]:
    """Small windows, on a lattice that includes the corners; those at the edge, or the others."""
    rows, cols = (
        np.unique(np.linspace(0, max(0, size - view.place_px), view.places).astype(int)).tolist() for size in view.shape
    )
    whole = Window(0, 0, *view.shape)
    for row, col in product(rows, cols):
        if edge == (row in (rows[0], rows[-1]) or col in (cols[0], cols[-1])):
            yield view.read(Window(row, col, view.place_px, view.place_px).intersection(whole))


def _follow(view: _View, value: float, noise: int, missing: list[Window], shape: tuple[int, int]) -> Collar | None:
    """What has the value and hangs together with the edge, or with blocks that were never written."""
    if view.endless:
        parts = [has_value(pixels, value, noise) & valid for pixels, valid in _looks(view, edge=True)]
        shares = [float(part.mean()) for part in parts]
        return Collar(value, noise, float(np.mean(shares)), b"", (1, 1), (1, 1)) if max(shares) == 1 else None
    region = _Region(view, value, noise, missing)
    region.grow()
    cells, count = region.large()
    share = count / math.prod(view.shape)
    if share == 0 or share == 1 or (share < LEAST_SHARE and not missing):
        return None
    if not view.coarse:
        return Collar(value, noise, share, packed(cells), view.cells, view.span)
    return Collar(value, noise, share, packed(binary_dilation(cells, EIGHT)), view.cells, shape)


@dataclass
class _Region:
    """A region that grows from the edge into the image, through pieces of it.

    What is told of it is counted in cells: its pixels, those deep inside, those at the edge of the image or of its
    data, those in a corner of the image or beside what the file says is no data, those of blocks never written.
    """

    view: _View
    value: float
    noise: int
    missing: list[Window]
    counts: NDArray[np.int32] = field(init=False)
    _sides: dict[tuple[int, int], list[NDArray[np.bool_]]] = field(default_factory=dict)
    _open: dict[tuple[int, int], list[NDArray[np.bool_]]] = field(default_factory=dict)
    _holes: dict[tuple[int, int], list[Window]] = field(default_factory=dict)

    def grow(self) -> None:
        """Follow the region to its ends."""
        self.counts = np.zeros((5, *self.view.cells), np.int32)
        rows, cols = (math.ceil(size / PIECE_PX) for size in self.view.shape)
        for hole in self.missing:
            for piece in _pieces(hole):
                self._holes.setdefault(piece, []).append(hole)
        ring = {*product((0, rows - 1), range(cols)), *product(range(rows), (0, cols - 1))}
        waiting = sorted(ring | self._holes.keys())
        known = set(waiting)
        while waiting:
            piece = heapq.heappop(waiting)  # by rows, as files are
            known.discard(piece)
            self._look(piece)
            for side, (down, right) in enumerate(WAYS):
                other = piece[0] + down, piece[1] + right
                if not (0 <= other[0] < rows and 0 <= other[1] < cols) or other in known:
                    continue
                reached = self._sides[piece][side]
                if reached.any() and (other not in self._open or (reached & self._open[other][OPPOSITE[side]]).any()):
                    heapq.heappush(waiting, other)
                    known.add(other)

    def large(self) -> tuple[NDArray[np.bool_], int]:
        """Cells of the parts that are a collar, and their pixels.

        A strip along a side, a corner or a triangle in one has an edge of at least twice the root of its area along
        the border of the image; a bright roof or a cloud that the border cuts has half of that, or is ragged.
        """
        parts, count = label(self.counts[0] > 0, EIGHT)
        pixels, deep, edge, outer, unwritten = (
            np.bincount(parts.ravel(), weights=plane.ravel(), minlength=count + 1) for plane in self.counts
        )
        along = edge >= LEAST_EDGE * np.sqrt(pixels)
        whole = along & (deep >= LEAST_DEEP * pixels) & (outer > 0)
        if whole[1:].any():  # its thin ends too
            whole = along
        taken = (whole | (unwritten > 0)) & (pixels > 0)
        taken[0] = False
        return np.asarray(taken[parts]), int(pixels[taken].sum())

    def _look(self, piece: tuple[int, int]) -> None:
        window = Window(piece[0] * PIECE_PX, piece[1] * PIECE_PX, PIECE_PX, PIECE_PX)
        window = window.intersection(Window(0, 0, *self.view.shape))
        pixels, valid = self.view.read(window)
        of_value = has_value(pixels, self.value, self.noise) & valid
        passable = of_value | ~valid
        ends, unwritten = self._ends(window), self._unwritten(piece, window)
        seeds = ends | unwritten
        for side, line in enumerate(_lines(seeds)):
            other = piece[0] + WAYS[side][0], piece[1] + WAYS[side][1]
            if other in self._sides:
                line |= self._sides[other][OPPOSITE[side]]
        reached = passable if passable.all() else _connected(passable, seeds)
        self._sides[piece] = [line.copy() for line in _lines(reached)]
        self._open[piece] = [line.copy() for line in _lines(passable & ~reached)]
        found = reached & of_value
        outer = self._corners(window)
        if not valid.all():
            beside = binary_dilation(reached & ~valid)
            ends |= beside
            outer |= beside
        deep = found if found.all() else _inner(found)
        self._count(window, (found, deep, found & ends, found & outer, found & unwritten))

    def _count(self, window: Window, masks: Sequence[NDArray[np.bool_]]) -> None:
        (height, width), (down, across) = self.view.span, self.view.cells
        rows = (window.row + np.arange(window.height)) * down // height
        cols = (window.col + np.arange(window.width)) * across // width
        first = [np.flatnonzero(np.diff(line, prepend=-1)) for line in (rows, cols)]
        sizes = [np.diff(starts, append=len(line)) for starts, line in zip(first, (rows, cols), strict=True)]
        for plane, mask in zip(self.counts, masks, strict=True):
            part = plane[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
            if mask.all():
                part[:] = np.outer(*sizes)
            elif mask.any():
                part[:] = np.add.reduceat(np.add.reduceat(mask, first[1], axis=1, dtype=np.int32), first[0], axis=0)
            else:
                part[:] = 0

    def _ends(self, window: Window) -> NDArray[np.bool_]:
        """The pixels at the edge of the image."""
        (height, width), ends = self.view.shape, np.zeros(window.shape, bool)
        at = window.row == 0, window.row_stop == height, window.col == 0, window.col_stop == width
        for line, is_end in zip(_lines(ends), at, strict=True):
            line |= is_end
        return ends

    def _corners(self, window: Window) -> NDArray[np.bool_]:
        (height, width), corners = self.view.shape, np.zeros(window.shape, bool)
        for row, col in product((0, height - 1), (0, width - 1)):
            if window.row <= row < window.row_stop and window.col <= col < window.col_stop:
                corners[row - window.row, col - window.col] = True
        return corners

    def _unwritten(self, piece: tuple[int, int], window: Window) -> NDArray[np.bool_]:
        holes = np.zeros(window.shape, bool)
        for hole in self._holes.get(piece, ()):
            holes[hole.intersection(window).within(window).slices] = True
        return holes


WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1))
OPPOSITE = (1, 0, 3, 2)
EIGHT = np.ones((3, 3), bool)


def _lines(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """First and last row, first and last column."""
    return [mask[0], mask[-1], mask[:, 0], mask[:, -1]]


def _inner(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels all of whose neighbours are of a mask; it goes on beyond its border."""
    padded = np.pad(mask, 1, mode="edge")
    lines = padded[:-2] & padded[1:-1] & padded[2:]
    return lines[:, :-2] & lines[:, 1:-1] & lines[:, 2:]


def _connected(passable: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of a mask, 4-connected, in which a seed lies."""
    parts, count = label(passable)
    chosen = np.zeros(count + 1, bool)
    chosen[parts[seeds & passable]] = True
    return np.asarray(chosen[parts])


def _pieces(window: Window) -> Iterable[tuple[int, int]]:
    rows = range(window.row // PIECE_PX, (window.row_stop - 1) // PIECE_PX + 1)
    cols = range(window.col // PIECE_PX, (window.col_stop - 1) // PIECE_PX + 1)
    return product(rows, cols)


def _missing_blocks(dataset: Any, scene: Scene) -> list[Window]:
    """Blocks of a sparse TIFF that were never written; of very many some, the region finds the others."""
    if dataset.driver != "GTiff" or is_remote(scene.uri):
        return []
    band = scene.bands[0]
    high, wide = dataset.block_shapes[band - 1]
    rows, cols = math.ceil(dataset.height / high), math.ceil(dataset.width / wide)
    whole = Window(0, 0, *scene.shape)
    return [
        Window(index // cols * high, index % cols * wide, high, wide).intersection(whole)
        for index in range(0, rows * cols, max(1, rows * cols // BLOCKS))
        if not dataset.get_tag_item(f"BLOCK_OFFSET_{index % cols}_{index // cols}", "TIFF", bidx=band)
    ]
