"""Samples on the squares of a grid, each in its turn, instead of around random places."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from uvsam.errors import LabelError
from uvsam.training.augment import OneOfEight
from uvsam.training.config import UvSamTraining
from uvsam.training.sampling import LabelledSource, Mixture, Request, held_out, query_at

SLACK = 0.02
"""An image may be so much larger than its grid, as a share of a square: rounding, and nothing more is lost."""


def find_tiles(source: LabelledSource, config: UvSamTraining) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Squares of ``crop_px`` that hold labels to train on: every image of the source has a grid in its middle.

    Returns:
        Lower left corners (T, 2) in the source's CRS, and whether there is a village in them (T,).
    """
    ground = source.ground
    size = config.crop_px * config.gsd_m * np.array(ground.unit)
    labelled, village = (_to_train_on(points, ground.unit, config) for points in (ground.labelled, ground.village))
    corners, has_village = [], []
    for geometry in source.dataset.index.geometry:
        low, high = np.reshape(geometry.bounds, (2, 2))
        counts = np.maximum(1, np.ceil((high - low) / size - SLACK)).astype(int)
        origin = (low + high - counts * size) / 2
        filled, with_village = (
            _squares_with(_within(points, low, high), origin, size, counts) for points in (labelled, village)
        )
        rows_cols = np.argwhere(filled)
        corners.append(origin + rows_cols * size)
        has_village.append(with_village[filled])
    return np.concatenate(corners), np.concatenate(has_village)


def _to_train_on(points: NDArray[np.float64], unit: tuple[float, float], config: UvSamTraining) -> NDArray[np.float64]:
    """Points outside the blocks held out, ordered by x."""
    x, y = points.T / np.array(unit)[:, None]
    kept: NDArray[np.float64] = points[~held_out(x, y, config.validation, config.seed)]
    return kept[np.argsort(kept[:, 0])]


def _within(points: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    first, stop = np.searchsorted(points[:, 0], [low[0], high[0]])
    some = points[first:stop]
    within: NDArray[np.float64] = some[(some[:, 1] >= low[1]) & (some[:, 1] < high[1])]
    return within


def _squares_with(
    points: NDArray[np.float64], origin: NDArray[np.float64], size: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    filled = np.zeros(counts, bool)
    filled[tuple(np.clip((points - origin) // size, 0, counts - 1).astype(int).T)] = True
    return filled


class TiledMixture(Mixture):
    """Samples of all sources; where views are all the augmentation, the request's seed is the number of the view."""

    def __init__(self, sources: list[LabelledSource], config: UvSamTraining) -> None:
        super().__init__(sources, config)
        if config.augmentation.views_only:
            self.augment = OneOfEight(config.augmentation, config.crop_px)


class TileSampler(Sampler[Request]):
    """Requests of one epoch. Of each source, all tiles come in a random order before one of them comes again.

    Sources have the shares that their weights say, and within a source ``village_share`` of the requests go round the
    tiles with a village. Where views are all the augmentation, a tile shows another of them every time round.
    """

    def __init__(self, sources: list[LabelledSource], config: UvSamTraining) -> None:
        self.config, self.epoch = config, 0
        self.rounds: list[tuple[int, Any]] = []
        shares = []
        for index, labelled in enumerate(sources):
            corners, has_village = find_tiles(labelled, config)
            if not len(corners):
                name = labelled.source.name
                raise LabelError(f"nothing is left to train on in {name}; lower validation.share or block_m")
            size = config.gsd_m * labelled.ground.unit[0], config.gsd_m * labelled.ground.unit[1]
            village_share = labelled.source.village_share if has_village.any() else 0
            for chosen, share in ((corners, 1 - village_share), (corners[has_village], village_share)):
                if share > 0:
                    side = config.crop_px
                    self.rounds.append((index, [query_at(x, y, side, side, size) for x, y in chosen.tolist()]))
                    shares.append(labelled.source.weight * share)
        self.shares = np.array(shares) / sum(shares)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this, so that a resumed run goes on with the samples it would have had."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.config.steps_per_epoch * self.config.batch

    def __iter__(self) -> Iterator[Request]:
        config = self.config
        start, stop = self.epoch * len(self), (self.epoch + 1) * len(self)
        choice = np.random.default_rng(config.seed).choice(len(self.rounds), p=self.shares, size=stop)
        seeds = np.random.default_rng([config.seed, self.epoch]).integers(2**31, size=len(self))
        done = np.bincount(choice[:start], minlength=len(self.rounds))
        for which, seed in zip(choice[start:].tolist(), seeds.tolist(), strict=True):
            source, tiles = self.rounds[which]
            time_round, place = divmod(int(done[which]), len(tiles))
            tile = int(np.random.default_rng([config.seed, which, time_round]).permutation(len(tiles))[place])
            view = (tile + time_round) % config.views
            yield Request(source, tiles[tile], view if config.augmentation.views_only else seed)
            done[which] += 1
