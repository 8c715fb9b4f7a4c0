"""Prompts for training a generalist: what a specialist finds in a sample, right and wrong."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from uvsam.models.specialist import Specialist, to_own_resolution
from uvsam.mosaic.instances import log_odds, outline_log_odds
from uvsam.mosaic.scores import quantise
from uvsam.prompts import CELLS, PromptRules
from uvsam.training.live_prompts import LivePrompts, specialist_prompts
from uvsam.training.prompting import Prompted, near_boxes

RULES = PromptRules()
MASKED = 0.4
"""Share of the finds that are asked about with a mask; the others with their box alone."""


@dataclass(frozen=True)
class FoundPrompts:
    """Asks about the regions that a specialist finds. The answer is the village around them.

    Args:
        specialist: sees the samples at its own ground resolution.
        gsd_m: of the samples.
        min_cells: the smallest region, in mask cells.
        shift: the outline of the regions is drawn by log-odds up to this far from the card's threshold.
    """

    specialist: Specialist
    gsd_m: float
    min_cells: int
    shift: float = 0.5

    def __call__(
        self, image: Tensor, valid: Tensor, village: Tensor, most: int, rng: np.random.Generator
    ) -> Prompted | None:
        """Prompts about a sample; None where nothing is found.

        Args:
            image: (3, S, S) in 0..255; S is a multiple of 256.
            valid: (S, S) bool.
            village: (S, S), 1 where labels say village, 0 where they do not, NaN where they say nothing.
            most: of more regions, so many are chosen by chance.
        """
        relative = self._log_odds(image, valid) + rng.uniform(-self.shift, self.shift)
        found = specialist_prompts(
            relative, valid, RULES, min_px=self.min_cells * (len(valid) / CELLS) ** 2, most=most, rng=rng
        )
        if not len(found):
            return None
        asked = _answered(found, relative, village)
        masks = torch.stack([roughened(mask[0], rng)[None] for mask in asked.mask])
        return replace(asked, mask=masks, has_mask=torch.from_numpy(rng.random(len(found)) < MASKED))

    def _log_odds(self, image: Tensor, valid: Tensor) -> Tensor:
        """(S, S), 0 where the card's threshold is; of bytes, as in prediction, and NaN where nothing was seen."""
        card = self.specialist.card
        pixels = to_own_resolution(image[None], len(valid) * self.gsd_m, card)
        seen = F.interpolate(valid[None, None].float(), pixels.shape[2:], mode="nearest")[:, 0] > 0
        score = self.specialist.scores(pixels, seen)
        score = F.interpolate(score[None], valid.shape, mode="bilinear", align_corners=False)[0, 0]
        levels = quantise(score.numpy(), valid.numpy())
        return torch.from_numpy(log_odds(levels) - np.float32(outline_log_odds(card.calibration.threshold)))


def roughened(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """A mask (256, 256) that says where, and no longer exactly where: blurred by up to a tenth of the crop.

    A specialist is right about the ground it was trained on. Who is given its exact outlines there learns to repeat
    them, and repeats its mistakes elsewhere.
    """
    inside = mask.numpy() > 0
    sigma = float(np.exp(rng.uniform(np.log(1), np.log(24))))
    gain = np.float32(np.exp(rng.uniform(np.log(0.3), 0)))
    while True:  # narrow places fade away first, and such a prompt says nothing
        blurred = ndimage.gaussian_filter(mask.numpy(), sigma, mode="nearest")
        if (blurred[inside] > 0).any() or not inside.any():
            return torch.from_numpy(blurred * gain)
        sigma /= 2


def _answered(found: LivePrompts, relative: Tensor, village: Tensor) -> Prompted:
    """The village near each region that is in no other region; nothing is asked for beyond the box and its margin."""
    step = len(village) // CELLS
    grid, score = village[step // 2 :: step, step // 2 :: step], F.avg_pool2d(relative[None], step)[0]
    near = near_boxes(found.boxes)
    others = (score > 0) & (found.masks[:, 0] <= -RULES.limit)
    always = torch.ones(len(found), dtype=torch.bool)
    weight = near & ~torch.isnan(grid) & ~others
    return Prompted((grid == 1) & near & ~others, weight.float(), found.boxes, found.masks, always, always)
