"""Where samples are taken: sources by weight, villages and open ground by share, and blocks kept out for validation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from torch.utils.data import Dataset, Sampler
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import GeoSampler

from uvsam.errors import LabelError
from uvsam.raster.resolution import ground_resolution_m
from uvsam.training.augment import Augment
from uvsam.training.config import Source, TrainingRun, Validation
from uvsam.training.data import LabelRasters, open_source
from uvsam.training.survey import Counts, check_values, look_over
from uvsam.training.targets import IGNORE, TargetTable

SEEN_SHARE = 0.5
"""Of the samples, centred on ground that somebody looked at, where labels are corrections of a map."""
SCAN_PX = 1024
"""Labels are looked over in pieces of at most this many cells a side."""


class Request(NamedTuple):
    """One sample to read: source, torchgeo query, seed of its augmentation (None: as it is)."""

    source: int
    query: tuple[slice, slice, slice]
    seed: int | None


def held_out(x_m: NDArray[np.float64], y_m: NDArray[np.float64], rule: Validation, seed: int) -> NDArray[np.bool_]:
    """Whether points lie in a block kept for validation. Depends on the coordinates alone, so it holds for any file."""
    block = np.floor(np.stack([x_m, y_m]) / rule.block_m).astype(np.int64).astype(np.uint64)
    mixed = block[0] * np.uint64(0x9E3779B97F4A7C15) ^ block[1] * np.uint64(0xC2B2AE3D27D4EB4F) ^ np.uint64(seed)
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1)):  # murmur3's finaliser
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    share: NDArray[np.bool_] = mixed.astype(np.float64) / 2.0**64 < rule.share
    return share


@dataclass(frozen=True)
class Ground:
    """Where a source has labels: centres of coarse cells in its CRS.

    Attributes:
        unit: CRS units per metre on the ground (x, y).
        cell: size of a cell in CRS units (x, y).
        labelled, village, seen: (N, 2) centres with any label, with a village, and those that somebody looked at.
    """

    unit: tuple[float, float]
    cell: tuple[float, float]
    labelled: NDArray[np.float64]
    village: NDArray[np.float64]
    seen: NDArray[np.float64]


def units_per_metre(dataset: GeoDataset) -> tuple[float, float]:
    """CRS units per metre on the ground at the middle of a data set."""
    x, y, _ = dataset.bounds
    middle = Affine.translation((x.start + x.stop) / 2, (y.start + y.stop) / 2) * Affine.scale(dataset.res[0])
    east_m, north_m = ground_resolution_m(GeoBox((1, 1), middle, dataset.crs))
    return dataset.res[0] / east_m, dataset.res[0] / north_m


class LabelledSource:
    """A source ready to sample: its data set, the meaning of its labels, and the ground it covers."""

    def __init__(
        self, source: Source, rows: NDArray[np.uint8], village_rows: NDArray[np.float32], gsd_m: float
    ) -> None:
        self.source = source
        self.dataset = open_source(source)
        self.rows = rows
        unit = units_per_metre(self.dataset)
        counts = Counts()
        self.ground = self._scan(village_rows, unit, (8 * gsd_m * unit[0], 8 * gsd_m * unit[1]), counts)
        images, labels = self.dataset.datasets  # type: ignore[attr-defined]  # an intersection has them
        corrections = getattr(labels, "seen", None) is not None
        self.survey = look_over(
            source, counts, images=len(images.index), cell_m2=(8 * gsd_m) ** 2, corrections=corrections
        )
        check_values(source, self.survey, list(labels.index.filepath) if isinstance(labels, LabelRasters) else [])

    def read(self, query: Any) -> tuple[torch.Tensor, NDArray[np.uint8], NDArray[np.bool_]]:
        """Image (3, H, W), label rows (H, W) with 0 where there is none, and validity (H, W)."""
        return self._read(self.dataset[query], query)

    def _read(self, sample: Any, query: Any) -> tuple[torch.Tensor, NDArray[np.uint8], NDArray[np.bool_]]:
        values = sample["mask"].numpy()
        rows = np.where(sample["labelled"].numpy() & (values >= 0) & (values < 256), self.rows[values % 256], IGNORE)
        valid = sample["valid"].numpy() & self._within(query)
        return sample["image"], np.where(valid, rows, IGNORE).astype(np.uint8), valid

    def _within(self, query: Any) -> NDArray[np.bool_]:
        x, y = grid_xy(query)
        within = np.ones(x.shape, bool)
        if self.source.bounds is not None:
            within &= _in_box(x, y, self.source.bounds)
        if self.source.exclude_bounds is not None:
            within &= ~_in_box(x, y, self.source.exclude_bounds)
        return within

    def _scan(
        self, village_rows: NDArray[np.float32], unit: tuple[float, float], cell: tuple[float, float], counts: Counts
    ) -> Ground:
        labelled, village, seen = [], [], []
        for geometry in self.dataset.index.geometry:
            left, bottom, right, top = geometry.bounds
            for x in np.arange(left, right, SCAN_PX * cell[0]):
                for y in np.arange(bottom, top, SCAN_PX * cell[1]):
                    columns = max(1, round((min(right, x + SCAN_PX * cell[0]) - x) / cell[0]))
                    lines = max(1, round((min(top, y + SCAN_PX * cell[1]) - y) / cell[1]))
                    query = query_at(x, y, columns, lines, cell)
                    sample = self.dataset[query]
                    _, rows, valid = self._read(sample, query)
                    raw = sample["mask"].numpy()[valid & sample["labelled"].numpy()]
                    counts.add(raw, village_rows[rows[rows != IGNORE]])
                    points = np.stack(grid_xy(query), axis=-1)
                    labelled.append(points[rows != IGNORE])
                    village.append(points[village_rows[rows] == 1])
                    seen.append(points[(rows != IGNORE) & sample.get("seen", torch.zeros(1, dtype=torch.bool)).numpy()])
        return Ground(unit, cell, *(np.concatenate(parts) for parts in (labelled, village, seen)))


def query_at(left: float, bottom: float, columns: int, lines: int, step: tuple[float, float]) -> Any:
    """A torchgeo query of ``columns`` x ``lines`` pixels of size ``step`` from a lower left corner, at any time."""
    always = slice(pd.Timestamp.min, pd.Timestamp.max)
    return (
        slice(left, left + columns * step[0], step[0]),
        slice(bottom, bottom + lines * step[1], step[1]),
        always,
    )


def grid_xy(query: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CRS coordinates (x, y) of the pixel centres of a query, each (H, W), the first row on top."""
    x, y, _ = query
    columns = x.start + (np.arange(round((x.stop - x.start) / x.step)) + 0.5) * x.step
    lines = y.stop - (np.arange(round((y.stop - y.start) / y.step)) + 0.5) * y.step
    grid: tuple[NDArray[np.float64], NDArray[np.float64]] = tuple(np.meshgrid(columns, lines))
    return grid


def _in_box(x: NDArray[np.float64], y: NDArray[np.float64], box: tuple[float, float, float, float]) -> Any:
    return (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])


class GroundSampler(GeoSampler):
    """Random queries of one source, centred on villages or on any labelled ground.

    Args:
        source: where to sample.
        config: sizes, scale range and shares.
        held: True samples validation ground, False all other.
    """

    def __init__(self, source: LabelledSource, config: TrainingRun, *, held: bool) -> None:
        super().__init__(source.dataset)
        self.ground, self.config, self.held = source.ground, config, held
        self.village_share = source.source.village_share
        ground = self.ground
        self.labelled, self.village, self.seen = map(self._mine, (ground.labelled, ground.village, ground.seen))

    def _mine(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points.T / np.array(self.ground.unit)[:, None]
        mine: NDArray[np.float64] = points[held_out(x, y, self.config.validation, self.config.seed) == self.held]
        return mine

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[Any]:
        rng = np.random.default_rng(self.config.seed)
        while True:
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Any:
        """One query; larger than the crop where it shall be turned."""
        config = self.config
        points = self.village if len(self.village) and rng.random() < self.village_share else self.labelled
        if len(self.seen) and rng.random() < SEEN_SHARE:
            points = self.seen
        jitter = 0 if self.held else config.crop_px / 6
        scale = 1.0 if self.held else config.augmentation.scale ** rng.uniform(-1, 1)
        turned = not self.held and rng.random() < config.augmentation.rotate
        side = 32 * round(config.crop_px * 1.42 / 32) if turned else config.crop_px
        step = (config.gsd_m * scale * self.ground.unit[0], config.gsd_m * scale * self.ground.unit[1])
        centre = points[rng.integers(len(points))] + rng.uniform(-jitter, jitter, 2) * step
        return query_at(centre[0] - side / 2 * step[0], centre[1] - side / 2 * step[1], side, side, step)


class Mixture(Dataset[dict[str, torch.Tensor]]):
    """Samples of all sources by :class:`Request`: ``image`` (3, S, S), ``valid`` (S, S), ``rows`` (S, S)."""

    def __init__(self, sources: list[LabelledSource], config: TrainingRun) -> None:
        self.sources, self.config = sources, config
        self.augment = Augment(config.augmentation, config.crop_px)

    def __getitem__(self, request: Request) -> dict[str, torch.Tensor]:
        source = self.sources[request.source]
        image, rows, valid = source.read(request.query)
        x, y = grid_xy(request.query)
        held = held_out(x / source.ground.unit[0], y / source.ground.unit[1], self.config.validation, self.config.seed)
        if request.seed is None:  # validation: only held ground is judged, its surroundings may be seen
            rows = np.where(held, rows, IGNORE)
            labels = torch.from_numpy(np.stack([rows, valid]).astype(np.uint8))
        else:
            labels = torch.from_numpy(np.stack([np.where(held, IGNORE, rows), valid & ~held]).astype(np.uint8))
            image = image * torch.from_numpy(~held)
            generator = torch.Generator().manual_seed(request.seed)
            image, labels = self.augment(image, labels, generator)
        return {"image": image, "rows": labels[0], "valid": labels[1] > 0}


class MixtureSampler(Sampler[Request]):
    """Requests of one epoch; a new, repeatable set every epoch."""

    def __init__(self, sources: list[LabelledSource], config: TrainingRun) -> None:
        self.samplers = [GroundSampler(source, config, held=False) for source in sources]
        empty = [s.source.name for s, sampler in zip(sources, self.samplers, strict=True) if not len(sampler)]
        if empty:
            raise LabelError(f"nothing is left to train on in {', '.join(empty)}; lower validation.share or block_m")
        weights = np.array([source.source.weight for source in sources])
        self.shares, self.config, self.epoch = weights / weights.sum(), config, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this, so that a resumed run goes on with the samples it would have had."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.config.steps_per_epoch * self.config.batch

    def __iter__(self) -> Iterator[Request]:
        rng = np.random.default_rng([self.config.seed, self.epoch])
        for _ in range(len(self)):
            index = int(rng.choice(len(self.samplers), p=self.shares))
            yield Request(index, self.samplers[index].draw(rng), int(rng.integers(2**31)))


def validation_requests(sources: list[LabelledSource], config: TrainingRun) -> list[Request]:
    """A fixed list of samples on held-out ground; empty where none is held out."""
    samplers = [GroundSampler(source, config, held=True) for source in sources]
    rng = np.random.default_rng(config.seed)
    with_ground = [i for i, sampler in enumerate(samplers) if len(sampler)]
    if not with_ground or config.validation.share == 0:
        return []
    return [
        Request(i, samplers[i].draw(rng), None) for i in rng.choice(with_ground, config.validation.samples).tolist()
    ]


def open_sources(config: TrainingRun, table: TargetTable) -> list[LabelledSource]:
    """Open every source of a run."""
    return [
        LabelledSource(source, lookup, table.village, config.gsd_m)
        for source, lookup in zip(config.sources, table.lookup, strict=True)
    ]
