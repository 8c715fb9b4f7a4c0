"""Tiles that a trained UV-SAM model never saw, judged by the rule of the paper's evaluation."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from uvsam.catalog.cards import Quality
from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.paper import TileScore, keep_large, score_tile
from uvsam.progress import Progress
from uvsam.prompts.legacy import MIN_CORNER_PX
from uvsam.training.config import Augmentation, UvSamTraining, Validation
from uvsam.training.sampling import Request, open_sources, query_at
from uvsam.training.targets import IGNORE, TargetTable, target_table
from uvsam.training.tiling import TiledMixture, find_tiles
from uvsam.training.uvsam import UvSamModule

AS_IT_IS = Augmentation(scale=1, rotate=0, turn=1, colour=0, degrade=0, coarsen=1, grey=0)
MOST_PROMPTS = 1000
NOTHING = TileScore(Confusion(), Confusion())


@torch.inference_mode()
def judge_tiles(module: UvSamModule, config: UvSamTraining, command: str, progress: Progress) -> list[Quality]:
    """Outline every tile of ``config.tests`` with the averaged weights and compare it with its labels.

    Returns:
        IoU over all tiles, precision, recall and F1 of contours, of both models and of the specialist alone; of what
        has no value (nothing predicted, say) there is none.
    """
    plan = config.model_copy(
        update={"sources": config.tests, "augmentation": AS_IT_IS, "validation": Validation(share=0)}
    )
    table = target_table(plan.sources, plan.classes)
    sources = open_sources(plan, table)
    tiles = TiledMixture(sources, plan)
    requests = []
    for index, source in enumerate(sources):
        step = plan.gsd_m * source.ground.unit[0], plan.gsd_m * source.ground.unit[1]
        corners, _ = find_tiles(source, plan)
        requests += [Request(index, query_at(x, y, plan.crop_px, plan.crop_px, step), 0) for x, y in corners.tolist()]
    module.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    scores = {"the specialist alone": NOTHING, "both models": NOTHING}
    for done, batch in enumerate(DataLoader(tiles, config.batch, sampler=requests, num_workers=config.workers)):
        progress("testing (tiles)", done * config.batch, len(requests))
        for judged in _judged(module, batch, table):
            for name, score in zip(scores, judged, strict=True):
                scores[name] = TileScore(scores[name].pixels + score.pixels, scores[name].contours + score.contours)
    progress("testing (tiles)", len(requests), len(requests))
    place = f"{len(requests)} tiles: {', '.join(source.name for source in config.tests)}"
    return [
        Quality(measure=f"{what} of {name}", tested_on=place, value=round(value, 4), command=command)
        for name, score in scores.items()
        for what, value in _measures(score)
        if value is not None
    ]


def _judged(module: UvSamModule, batch: dict[str, Tensor], table: TargetTable) -> Iterator[tuple[TileScore, TileScore]]:
    """The score of the specialist and of both models, tile by tile."""
    run = module.run
    moved = {name: value.to(module.device) for name, value in batch.items()}
    if run.legacy:  # the experiments read what they test on with red and blue exchanged
        moved["image"] = moved["image"].flip(1)
    every = module.found(moved, np.random.default_rng(run.seed), most=MOST_PROMPTS)
    for found, rows in zip(every, batch["rows"].numpy(), strict=True):
        truth, valid = table.village[rows] == 1, rows != IGNORE
        specialist, both = (
            keep_large(
                mask.cpu().numpy() & valid,
                min_area_px=module.min_px,
                min_corner_px=MIN_CORNER_PX if run.legacy else 0,
            )
            for mask in found
        )
        yield score_tile(specialist, truth, valid), score_tile(both, truth, valid)


def _measures(score: TileScore) -> list[tuple[str, float | None]]:
    contours = score.contours
    return [
        ("pixel IoU", score.pixels.iou),
        ("F1 of contours by the paper's rule", contours.f1),
        ("recall of contours by the paper's rule", contours.recall),
        ("precision of contours by the paper's rule", contours.precision),
    ]
