"""The training loop of UV-SAM: a specialist and a prompt mixer learn through a frozen generalist."""

import math
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor, nn
from torch.nn import functional as F

from uvsam.catalog.uvsam import UvSamCard
from uvsam.models.mixer import Mixer
from uvsam.models.sam.generalist import Generalist
from uvsam.models.sam.network import normalised
from uvsam.models.specialist import normalise, to_own_resolution, village_logit
from uvsam.models.uvsam import UvSamNetwork
from uvsam.prompts import PromptRules
from uvsam.training.averaged import AveragedModule
from uvsam.training.config import UvSamTraining
from uvsam.training.embeddings import EmbeddingCache
from uvsam.training.live_prompts import LivePrompts, paper_prompts, specialist_prompts, truth_prompts
from uvsam.training.losses import LabelLoss
from uvsam.training.prompting import near_boxes
from uvsam.training.specialist import keep_batch_statistics
from uvsam.training.targets import TargetTable
from uvsam.training.uvsam_losses import box_targets, mask_losses, paper_entropy, paper_mask_losses

WARM_UP_FROM = 1e-4


class UvSamModule(AveragedModule):
    """Trains specialist and mixer on batches of ``image``, ``valid``, ``rows``.

    Args:
        specialist, mixer: what is trained.
        generalist: what they are trained through; no submodule, so checkpoints and the average are made without it.
        card: gives the specialist's ground resolution, normalisation and calibration.
        table: what label rows mean.
        config: the run.
        cache: of the generalist's embeddings.
    """

    network: nn.ModuleDict
    run: UvSamTraining

    def __init__(
        self,
        specialist: nn.Module,
        mixer: Mixer,
        generalist: Generalist,
        card: UvSamCard,
        table: TargetTable,
        config: UvSamTraining,
        cache: EmbeddingCache | None = None,
    ) -> None:
        super().__init__(nn.ModuleDict({"specialist": specialist, "mixer": mixer}), config)
        self.generalist, self.card, self.cache = generalist, card, cache
        self.loss = LabelLoss(table, config.dice_weight)
        self.rules = PromptRules(gain=config.prompt_gain)
        self.min_px = config.min_prompt_m2 / config.gsd_m**2
        self.counts = torch.zeros(2, 2, dtype=torch.float64)
        self.train()

    def whole(self, *, averaged: bool) -> UvSamNetwork:
        """The parts in training, or their average, with the generalist."""
        parts: Any = self.average.module if averaged else self.network
        return UvSamNetwork(parts["specialist"], parts["mixer"], self.generalist.network.to(self.device))

    def parts(self) -> list[tuple[nn.Module, float]]:
        return [(self.network["specialist"], self.run.specialist_rate), (self.network["mixer"], 1.0)]

    def train(self, mode: bool = True) -> "UvSamModule":
        """A specialist to start from keeps its batch statistics."""
        super().train(mode)
        if self.run.specialist is not None:
            keep_batch_statistics(self.network["specialist"])
        return self

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        network, config = self.whole(averaged=False), self.run
        rng = np.random.default_rng([config.seed, self.global_step])
        fused = network.fuse(self._images(batch))
        logits = self._classified(network, fused, config.dropout)
        # the paper's experiments evaluate the classifier twice, each time with other channels left out
        asking = self._classified(network, fused, config.dropout) if config.legacy else logits
        village = self.loss.village[batch["rows"].long()]
        asked = [self._prompts(asking[i], batch["valid"][i], village[i], rng) for i in range(len(fused))]
        outlines = self._outlines(network, batch, fused, asked)
        with torch.autocast(self.device.type, enabled=False):
            loss = paper_entropy(logits.float(), village) if config.legacy else self.loss(logits.float(), batch["rows"])
            masks = self._mask_loss(outlines, asked, village)
        self.log_dict({"loss": loss.detach(), "loss_sam": masks.detach()}, prog_bar=True)
        return loss + config.sam_weight * masks

    def _images(self, batch: dict[str, Tensor]) -> Tensor:
        """What the specialist sees: the crops at its own ground resolution."""
        with torch.autocast(self.device.type, enabled=False):
            images = normalise(batch["image"], batch["valid"], self.card)
            images = to_own_resolution(images, self.run.crop_px * self.run.gsd_m, self.card)
        return images.contiguous(memory_format=torch.channels_last)

    def _classified(self, network: UvSamNetwork, fused: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits (N, K, S, S) on the pixels of the crops."""
        size = (self.run.crop_px, self.run.crop_px)
        logits = network.classify(fused, dropout)
        if logits.shape[2:] == size:
            return logits
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)

    def _log_odds(self, logits: Tensor) -> Tensor:
        """Calibrated log-odds (N, S, S), 0 where the card's threshold draws the outline."""
        calibration = self.card.calibration
        calibrated = village_logit(logits.float()) / calibration.temperature + calibration.offset
        return calibrated - float(logit(calibration.threshold))

    def _prompts(self, logits: Tensor, valid: Tensor, village: Tensor, rng: np.random.Generator) -> LivePrompts:
        """What is asked about a crop, from logits (K, S, S)."""
        if self.run.legacy:
            # half of the experiments' samples were mirrored, and those had the prompts of their originals
            return paper_prompts(logits.flip(-1) if rng.random() < 0.5 else logits, min_px=self.min_px)
        if rng.random() < self.run.truth_prompts:
            return truth_prompts(village, min_px=self.min_px, most=self.run.prompts, rng=rng)
        return self._own_prompts(logits, valid, self.run.prompts, rng)

    def _own_prompts(self, logits: Tensor, valid: Tensor, most: int, rng: np.random.Generator) -> LivePrompts:
        return specialist_prompts(
            self._log_odds(logits[None])[0], valid, self.rules, min_px=self.min_px, most=most, rng=rng
        )

    def _outlines(
        self, network: UvSamNetwork, batch: dict[str, Tensor], fused: Tensor, asked: list[LivePrompts]
    ) -> list[tuple[Tensor, Tensor]]:
        """Logits (N, S, S) and predicted IoU (N,) for the prompts of each crop."""
        image, valid = batch["image"], batch["valid"]
        some = [i for i, prompts in enumerate(asked) if len(prompts)]  # most of a city is not asked about
        outlines = [(image.new_zeros(0, *image.shape[2:]), image.new_zeros(0))] * len(asked)
        embeddings = list(self._embeddings(network, image[some], valid[some])) if some else []
        for i, embedding in zip(some, embeddings, strict=True):
            masks, iou = network.outline(embedding, fused[i], asked[i].boxes, asked[i].masks, self.run.without)
            masks = F.interpolate(masks[:, None].float(), image.shape[2:], mode="bilinear", align_corners=False)
            outlines[i] = masks[:, 0], iou.float()
        return outlines

    def _embeddings(self, network: UvSamNetwork, image: Tensor, valid: Tensor) -> Tensor:
        def embed(pixels: Tensor, valid: Tensor) -> Tensor:
            with torch.autocast(self.device.type, enabled=False):
                images = normalised(pixels, valid, spec.mean, spec.std)
            return network.embed(images).float()

        spec = self.generalist.spec
        return embed(image, valid) if self.cache is None else self.cache.get(image, valid, embed)

    def _mask_loss(self, outlines: list[tuple[Tensor, Tensor]], asked: list[LivePrompts], village: Tensor) -> Tensor:
        losses = torch.cat([
            self._losses(masks, iou, prompts.boxes, labels)
            for (masks, iou), prompts, labels in zip(outlines, asked, village, strict=True)
        ])  # fmt: skip
        if self.run.legacy:
            # all images' losses, divided by the contours of the last one alone; nothing where it has none
            count = asked[-1].counted * len(asked)
            return losses.sum() / count if count else losses.sum() * 0
        return losses.sum() / max(1, len(losses))

    def _losses(self, masks: Tensor, iou: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        known = ~torch.isnan(labels)
        if self.run.legacy:
            return paper_mask_losses(masks, iou, box_targets(labels, boxes), known)
        near = near_boxes(boxes, len(labels))  # further away nobody asks what the generalist says
        return mask_losses(masks, iou, (labels == 1) & near, known & near)

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        if self.run.schedule == "smooth":
            super().configure_gradient_clipping(optimizer, *args, **kwargs)

    def _rate(self, step: int) -> float:
        if self.run.schedule == "smooth":
            return super()._rate(step)
        epoch = self.run.steps_per_epoch
        if step < epoch:
            return WARM_UP_FROM + (1 - WARM_UP_FROM) * step / epoch
        return (1 + math.cos(math.pi * min(1.0, (step // epoch) / math.ceil(self.run.steps / epoch)))) / 2

    def on_validation_epoch_start(self) -> None:
        self.counts.zero_()

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        village = self.loss.village[batch["rows"].long()]
        found = self.found(batch, np.random.default_rng([self.run.seed, index]), self.run.prompts)
        for masks, labels in zip(found, village, strict=True):
            known, truth = ~torch.isnan(labels), labels == 1
            for row, mask in enumerate(masks):
                counts = ((mask & truth & known).sum(), ((mask | truth) & known).sum())
                self.counts[row] += torch.stack(counts).cpu()

    def found(self, batch: dict[str, Tensor], rng: np.random.Generator, most: int) -> list[tuple[Tensor, Tensor]]:
        """What the averaged weights outline on each crop: the specialist alone, and both models; (S, S) bool.

        Args:
            most: of more regions, so many are chosen by chance to be asked about.
        """
        network = self.whole(averaged=True)
        fused = network.fuse(self._images(batch))
        logits = self._classified(network, fused)
        asked = [
            paper_prompts(own, min_px=self.min_px) if self.run.legacy else self._own_prompts(own, valid, most, rng)
            for own, valid in zip(logits, batch["valid"], strict=True)
        ]
        outlines = self._outlines(network, batch, fused, asked)
        return [
            (own, self._joined(own, masks, prompts))
            for own, (masks, _), prompts in zip(self._log_odds(logits) > 0, outlines, asked, strict=True)
        ]

    def _joined(self, own: Tensor, masks: Tensor, prompts: LivePrompts) -> Tensor:
        """The generalist's masks (N, S, S) where it was asked, and the specialist's (S, S) elsewhere."""
        if self.run.legacy:
            return (masks > 0).any(dim=0)
        around = near_boxes(prompts.boxes, len(own))
        return torch.where(around.any(dim=0), ((masks > 0) & around).any(dim=0), own)

    def on_validation_epoch_end(self) -> None:
        iou = self.counts[:, 0] / self.counts[:, 1].clamp(min=1)
        self.log_dict({"val_specialist_iou": iou[0].float(), "val_iou": iou[1].float()}, prog_bar=True)
