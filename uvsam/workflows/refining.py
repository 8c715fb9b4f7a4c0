"""Pass B: the regions of the score raster through the generalist, and its masks back into a score raster."""

import math
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window as RioWindow

from uvsam.engine.executors import Run, here
from uvsam.engine.journal import Log
from uvsam.engine.pipeline import Done, pipeline
from uvsam.engine.work import ALONE, Share, complete
from uvsam.errors import SettingsError
from uvsam.mosaic.instances import (
    FUSE,
    Instance,
    Instances,
    Support,
    fuse_scores,
    ground_window,
    log_odds,
    outline_log_odds,
)
from uvsam.mosaic.regions import RegionRules, find_regions, write_regions
from uvsam.progress import Progress, silent
from uvsam.prompts import CELLS, FRAME_PX, MIN_CELLS, Parts, PromptRules, Prompts, find_parts, region_prompts
from uvsam.prompts.crops import Crop, plan_crops
from uvsam.raster.access import open_dataset
from uvsam.raster.chips import Chip, SceneReader
from uvsam.raster.radiometry import Stretch
from uvsam.raster.scene import Scene, model_scale
from uvsam.raster.window import Window
from uvsam.workflows.recipe import Refinement, is_large
from uvsam.workflows.scoring import one_core

if TYPE_CHECKING:
    from torch import Tensor

STRIP_PX = 4_000_000
ANSWER = np.dtype(
    [("region", "i4"), ("ground", "i8", 4), ("pixels", "i8"), ("iou_pred", "f4"), ("stability", "f4"),
     ("mask", "f2", (CELLS, CELLS))]
)  # fmt: skip
"""What is kept of an answer about one region in one crop: see :class:`~uvsam.mosaic.instances.Instance`."""

CropTokens = Callable[[Chip], Any]
"""From the pixels of a crop to what the generalist's ``decode`` takes as ``tokens``: a mixer that knows the crop."""


class Decoded(Protocol):
    """Masks for N prompts: logits (N, 256, 256), predicted IoU (N,) and stability (N,), numpy float32."""

    @property
    def logits(self) -> NDArray[np.float32]: ...
    @property
    def iou_pred(self) -> NDArray[np.float32]: ...
    @property
    def stability(self) -> NDArray[np.float32]: ...


class Generalist(Protocol):
    """What pass B needs of a generalist: an encoder for crops and a decoder for prompts, without state between calls.

    ``embed`` takes pixels (N, 3, S, S) in 0..255 and valid (N, S, S), S = ``input_px``, to N embeddings.
    """

    @property
    def input_px(self) -> int: ...
    def embed(self, pixels: "Tensor", valid: "Tensor") -> "Tensor": ...
    def decode(self, embedding: "Tensor", prompts: Prompts, *, tokens: Any = None) -> Decoded: ...


@dataclass(frozen=True)
class Refined:
    """What pass B did.

    Attributes:
        regions: regions of the specialist's scores.
        refined: those that the generalist outlined; the others keep their outline.
        crops: squares it looked at.
        prompts: questions it answered; a region in several crops is asked about in each.
        seen: scene pixels in its crops, those in several counted once.
        pixels: scene pixels on which it decided.
        model_pixels: pixels its encoder saw.
        support: its own statements about its masks, ``sam_iou_pred`` and ``stability``.
    """

    regions: int
    refined: int
    crops: int
    prompts: int
    seen: int
    pixels: int
    model_pixels: int
    support: Support


class _ReadCrop(NamedTuple):
    """A crop with what was read for it: pixels, and scores and regions on the 1024 x 1024 frame."""

    crop: Crop
    chip: Chip
    values: NDArray[np.uint8]
    labels: NDArray[np.int32]
    parts: Parts


@dataclass(frozen=True)
class _Grid:
    """Crops on the ground: pixels of the encoder and mask cells, both from the scene's upper left corner.

    Attributes:
        input_px: side of a crop in pixels of the encoder.
        scale_xy: scene pixels per pixel of the encoder.
        shape: (height, width) of the scene.
    """

    input_px: int
    scale_xy: tuple[float, float]
    shape: tuple[int, int]

    @property
    def cell_xy(self) -> tuple[float, float]:
        """Scene pixels per mask cell."""
        per_cell = self.input_px // CELLS
        return self.scale_xy[0] * per_cell, self.scale_xy[1] * per_cell

    def on_scene(self, cells: Window) -> Window:
        """The scene pixels that cells cover."""
        box = cells.row, cells.col, cells.row_stop, cells.col_stop
        return ground_window(box, self.cell_xy, self.shape)

    def covered_px(self, windows: Sequence[Window]) -> int:
        """Scene pixels that windows of cells cover, about."""
        ground = [self.on_scene(window) for window in windows]
        boxes = [shapely.box(one.col, one.row, one.col_stop, one.row_stop) for one in ground]
        return round(float(shapely.union_all(boxes).area))

    def read(self, crop: Crop, reader: SceneReader, scores: Any, labels: Any) -> _ReadCrop | None:
        """What is needed for a crop; None where no region is large enough to be asked about."""
        in_frame = self._to_frame(labels, crop.window)
        parts = find_parts(in_frame, crop.regions, min_pixels=MIN_CELLS * (FRAME_PX // CELLS) ** 2)
        if not len(parts):
            return None
        per_cell = self.input_px // CELLS
        window = Window(crop.window.row * per_cell, crop.window.col * per_cell, self.input_px, self.input_px)
        chip = reader.read_resampled(window, self.scale_xy)
        return _ReadCrop(crop, chip, self._to_frame(scores, crop.window), in_frame, parts)

    def _to_frame(self, dataset: Any, window: Window) -> NDArray[Any]:
        """A raster on the 1024 x 1024 frame of a crop, by the pixels at the frame's centres; 0 beyond the scene."""
        per_cell = FRAME_PX // CELLS
        x, y = self.cell_xy
        rows, cols = (
            np.floor((start * per_cell + np.arange(FRAME_PX) + 0.5) * size / per_cell).astype(np.int64)
            for start, size in ((window.row, y), (window.col, x))
        )
        rows, cols = rows[rows < self.shape[0]], cols[cols < self.shape[1]]
        width = int(cols[-1] + 1 - cols[0])
        frame = np.zeros((FRAME_PX, FRAME_PX), dataset.dtypes[0])
        step = max(1, int(STRIP_PX / (width * max(y / per_cell, 1.0))))  # rows at a time: bounds the memory
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            box = RioWindow(cols[0], some[0], width, some[-1] + 1 - some[0])
            wide = np.take(dataset.read(1, window=box), cols - cols[0], axis=1)  # rows repeat after: cheaper
            frame[start : start + len(some), : len(cols)] = np.take(wide, some - some[0], axis=0)
        return frame

    def instances(self, item: _ReadCrop, margin_cells: float) -> list[Instance]:
        """One per part: the ground of its box with a margin, inside the crop."""
        crop = item.crop.window
        origin = np.array([crop.col, crop.row])
        instances = []
        for region, bounds in zip(item.parts.region_id, item.parts.bounds_xyxy / (FRAME_PX / CELLS), strict=True):
            left, top = np.maximum(bounds[:2] - margin_cells, 0) + origin
            right, bottom = np.minimum(bounds[2:] + margin_cells, CELLS) + origin
            ground = ground_window((top, left, bottom, right), self.cell_xy, self.shape)
            instances.append(Instance(int(region), crop, ground))
        return instances


class Asked(NamedTuple):
    """Who is asked about crops.

    Attributes:
        tokens: called with each crop; what it returns is handed to ``decode``.
    """

    generalist: Generalist
    tokens: CropTokens | None = None


@dataclass(frozen=True)
class Refining:
    """How crops are outlined; small and picklable.

    Attributes:
        outline: log-odds of a score where the masks have 0.
    """

    scene: Scene
    stretch: Stretch
    grid: _Grid
    crops: tuple[Crop, ...]
    scores_path: Path
    labels_path: Path
    rules: PromptRules
    outline: float

    def reader(self) -> SceneReader:
        """Of the scene."""
        return SceneReader(self.scene, self.stretch)

    def records(
        self, model: Asked, reader: SceneReader, keys: Iterable[int], *, threads: int = 1, batch: int = 1
    ) -> Generator[Done]:
        """The answers about crops, rows of :data:`ANSWER`; see :class:`uvsam.engine.work.Work`."""

        def compute(items: Sequence[_ReadCrop | None]) -> list[bytes]:
            asked = [item for item in items if item is not None]
            embeddings = _embeddings(model.generalist, asked)
            answers = iter([self._answers(model, *pair) for pair in zip(asked, embeddings, strict=True)])
            return [b"" if item is None else next(answers) for item in items]

        with open_dataset(str(self.scores_path)) as scores, open_dataset(str(self.labels_path)) as labels:
            yield from pipeline(
                keys, lambda key: self.grid.read(self.crops[key], reader, scores, labels), compute,
                threads=threads, batch=batch, initializer=None if is_large(model.generalist.input_px) else one_core,
            )  # fmt: skip

    def _answers(self, model: Asked, item: _ReadCrop, embedding: "Tensor") -> bytes:
        relative = log_odds(item.values) - np.float32(self.outline)
        prompts = region_prompts(relative, item.labels, item.parts, self.rules)
        extra = None if model.tokens is None else model.tokens(item.chip)
        decoded = model.generalist.decode(embedding, prompts, tokens=extra)
        places = self.grid.instances(item, self.rules.margin_cells)
        answers = np.zeros(len(places), ANSWER)
        answers["region"] = [place.region for place in places]
        answers["ground"] = [tuple(place.ground) for place in places]
        answers["pixels"] = item.parts.pixels
        answers["iou_pred"], answers["stability"] = decoded.iou_pred, decoded.stability
        answers["mask"] = np.clip(decoded.logits, -100, 100)
        return answers.tobytes()


def refine_scene(
    scene: Scene,
    stretch: Stretch,
    asked: Asked | None,
    refinement: Refinement,
    scores_path: Path,
    rules: RegionRules,
    out_path: Path,
    *,
    open_log: Callable[[str], Log],
    share: Share = ALONE,
    run: Run = here,
    threads: Run = here,
    progress: Progress = silent,
) -> tuple[Refined, list[tuple[Window, str]]]:
    """Outline the regions of a score raster with a generalist and write the refined score raster.

    Crops are read around regions only, so the cost goes with the villages and not with the scene; and so does memory,
    which holds a few numbers per region and never a crop that is done. A pixel that no crop asks about
    keeps its byte. What has no score still has none.

    Args:
        asked: who is asked; None where ``share`` says that others compute.
        refinement: how; regions of less than 16 mask cells keep the specialist's outline in any case.
        scores_path: of the specialist, on the scene's grid (see ``mosaic.scores``).
        rules: what a region is; prompts and masks are centred on their threshold, so that the same rules outline the
            refined scores.
        out_path: the refined scores. ``{stem}_owner.tif`` beside it says which region's masks decided on each pixel.
        run: where regions are found.
        threads: of this process, where masks become scores.
        open_log: from a name to the log of that name; crops that are in it are not computed again.

    Returns:
        What was done; and scene pixels of crops that could not be read or computed, twice, with the error: their
        regions keep the specialist's outline.

    Raises:
        SettingsError: the window, the fuse rule or the encoder's size is impossible.
        SceneError, OutputError: a raster cannot be read or written.
    """
    input_px, fuse = refinement.input_px, refinement.fuse
    if fuse not in FUSE:
        raise SettingsError(f"no way to fuse called '{fuse}'; there are {', '.join(FUSE)}")
    if not refinement.window_m > 0:
        raise SettingsError("the window of the generalist must be above 0")
    if input_px % CELLS:
        raise SettingsError(f"crops must be a multiple of {CELLS} px, not {input_px}")
    grid = _Grid(input_px, model_scale(scene, refinement.window_m / input_px), scene.shape)

    def finding(stage: str, done: int, total: int) -> None:  # its own name: villages are joined later
        progress("finding what to outline (image rows)", done, total)

    regions = find_regions(scores_path, rules, scene.gsd_m, run=run, progress=finding)
    least_px = max(refinement.min_prompt_m2 / math.prod(scene.gsd_m), MIN_CELLS * math.prod(grid.cell_xy))
    chosen = np.flatnonzero(regions.pixels >= least_px)
    crops = plan_crops((chosen + 1).tolist(), regions.bounds_px[chosen], grid.cell_xy, scene.shape)
    outline = outline_log_odds(rules.threshold)
    quality = _Quality(len(regions))
    owner_path = out_path.with_name(f"{out_path.stem}_owner.tif")
    labels_path = out_path.with_name(f"{out_path.stem}_regions.tif")
    write_regions(regions, scene.geobox, labels_path, run=run)
    refining = Refining(scene, stretch, grid, tuple(crops), scores_path, labels_path, refinement.rules, outline)
    log = open_log(f"crops-{zlib.crc32(repr(crops).encode()):08x}")  # of other scores the crops are others
    failed = complete(
        refining, asked, len(crops), log, share, lambda done: progress("outlining villages (crops)", done, len(crops))
    )
    looked_at: list[Window] = []
    with Instances(out_path.with_name(f"{out_path.stem}_masks.bin"), grid.cell_xy) as instances:
        for number, crop in enumerate(crops):
            answers = np.frombuffer(log.read(number) if number in log else b"", ANSWER)
            if len(answers):
                looked_at.append(crop.window)
            for answer in answers:
                place = Instance(int(answer["region"]), crop.window, Window(*answer["ground"].tolist()))
                instances.add(place, answer["mask"].astype(np.float32))
            quality.add(answers)
        pixels = fuse_scores(
            scores_path, labels_path, instances, scene.geobox, fuse, outline, out_path, owner_path, run=threads,
            progress=progress,
        )  # fmt: skip
    refined = Refined(
        regions=len(regions),
        refined=quality.refined,
        crops=len(looked_at),
        prompts=len(instances),
        seen=grid.covered_px(looked_at),
        pixels=pixels,
        model_pixels=len(looked_at) * input_px**2,
        support=Support(owner_path, quality.means()),
    )
    return refined, [(grid.on_scene(crops[number].window), str(error)) for number, error in sorted(failed.items())]


def _embeddings(generalist: Generalist, items: list[_ReadCrop]) -> "Tensor | list[Tensor]":
    if not items:
        return []
    import torch  # only where models compute

    pixels = torch.from_numpy(np.stack([item.chip.pixels for item in items]))
    return generalist.embed(pixels, torch.from_numpy(np.stack([item.chip.valid for item in items])))


class _Quality:
    """Collects what the generalist says of its masks, weighed by the size of the parts they are about."""

    def __init__(self, regions: int) -> None:
        self._weight = np.zeros(regions + 1)
        self._sums = {name: np.zeros(regions + 1) for name in ("sam_iou_pred", "stability")}

    def add(self, answers: NDArray[np.void]) -> None:
        region, pixels = answers["region"], answers["pixels"]
        np.add.at(self._weight, region, pixels)
        np.add.at(self._sums["sam_iou_pred"], region, pixels * answers["iou_pred"].clip(0, 1))  # its head is linear
        np.add.at(self._sums["stability"], region, pixels * answers["stability"])

    @property
    def refined(self) -> int:
        return int(np.count_nonzero(self._weight))

    def means(self) -> dict[str, NDArray[np.float64]]:
        with np.errstate(invalid="ignore"):
            return {name: total / self._weight for name, total in self._sums.items()}
