"""The training loop of a generalist that refines prompts: (image, box, coarse mask) to mask."""

from dataclasses import fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from uvsam.models.sam.network import GRID, WIDTH, GeneralistNetwork, normalised
from uvsam.models.specialist import Specialist
from uvsam.prompts import CELLS
from uvsam.training.averaged import AveragedModule
from uvsam.training.config import GeneralistTraining
from uvsam.training.found_prompts import FoundPrompts
from uvsam.training.losses import LabelLoss
from uvsam.training.prompting import Prompted, class_of_row, joined, prompt_sample
from uvsam.training.sampling import Mixture, Request
from uvsam.training.targets import IGNORE, TargetTable


class PromptedMixture(Dataset[dict[str, Tensor]]):
    """Samples of a mixture with prompted masks; see :class:`Prompted` for their shapes.

    Args:
        specialist: whose findings are prompts for a share of the samples; None: all prompts are roughened labels.
    """

    def __init__(
        self, mixture: Mixture, table: TargetTable, config: GeneralistTraining, specialist: Specialist | None = None
    ) -> None:
        self.mixture, self.config = mixture, config
        self.classes, self.village = class_of_row(table), torch.from_numpy(table.village)
        self.found = None if specialist is None else FoundPrompts(specialist, config.gsd_m, config.min_mask_cells)

    def __getitem__(self, request: Request) -> dict[str, Tensor]:
        sample = self.mixture[request]
        seed = [self.config.seed, *map(int, np.abs(np.array([request.query[0].start, request.query[1].start])))]
        rng = np.random.default_rng(seed if request.seed is None else request.seed)
        prompted = self._prompted(sample, rng)
        prompts = {field.name: getattr(prompted, field.name) for field in fields(Prompted)}
        return {**sample, **prompts}

    def _prompted(self, sample: dict[str, Tensor], rng: np.random.Generator) -> Prompted:
        """As many prompts as a sample has: what the specialist finds, then labels."""
        config, found = self.config, None
        if self.found is not None and rng.random() < config.specialist_prompts:
            village = self.village[sample["rows"].long()]
            found = self.found(sample["image"], sample["valid"], village, config.masks, rng)
        rows = sample["rows"].numpy()
        more = config.masks - (0 if found is None else len(found.box))
        labelled = prompt_sample(
            self.classes[rows], rows != IGNORE, more, village=len(config.classes) - 1,
            village_share=config.village_share, min_cells=config.min_mask_cells, rng=rng,
        ) if more else None  # fmt: skip
        return joined([part for part in (found, labelled) if part is not None])


class Classes(nn.Sequential):
    """Embeddings (N, 256, 64, 64) to class logits (N, K, 256, 256). It teaches the encoder and is not kept."""

    def __init__(self, classes: int) -> None:
        per_cell = CELLS // GRID
        super().__init__(nn.Conv2d(WIDTH, classes * per_cell**2, 1), nn.PixelShuffle(per_cell))


class GeneralistModule(AveragedModule):
    """Trains encoder, prompt encoder and decoder together on batches of :class:`PromptedMixture`.

    Args:
        mean, std: of the encoder's normalisation, in 0..255.
        table: what label rows mean.
    """

    network: nn.ModuleDict

    def __init__(
        self,
        network: GeneralistNetwork,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        table: TargetTable,
        config: GeneralistTraining,
    ) -> None:
        super().__init__(nn.ModuleDict({"generalist": network, "classes": Classes(len(config.classes))}), config)
        self.mean, self.std = mean, std
        self.class_loss, self.class_weight = LabelLoss(table, dice_weight=0.5), config.class_weight
        self.counts = torch.zeros(2, 2, dtype=torch.float64)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        embeddings = self._embeddings(self.network, batch)
        logits, iou_pred = prompted_logits(cast(GeneralistNetwork, self.network["generalist"]), embeddings, batch)
        classes = self.network["classes"](embeddings)
        with torch.autocast(self.device.type, enabled=False):
            terms = mask_loss(logits.float(), iou_pred.float(), batch["target"].flatten(0, 1), _weight(batch))
            rows = F.interpolate(batch["rows"][:, None].float(), (CELLS, CELLS), mode="nearest-exact")[:, 0]
            terms["loss_classes"] = self.class_weight * self.class_loss(classes.float(), rows)
        self.log_dict({name: value.detach() for name, value in terms.items()}, prog_bar=True)
        return sum(terms.values(), torch.zeros((), device=self.device))

    def _embeddings(self, network: Any, batch: dict[str, Tensor]) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            images = normalised(batch["image"], batch["valid"], self.mean, self.std)
        embeddings: Tensor = network["generalist"].image_encoder(images)
        return embeddings

    def on_validation_epoch_start(self) -> None:
        self.counts.zero_()

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        network: Any = self.average.module
        logits, _ = prompted_logits(network["generalist"], self._embeddings(network, batch), batch)
        target, known = batch["target"].flatten(0, 1), _weight(batch) > 0
        known &= batch["has_mask"].flatten()[:, None, None]  # what was asked without a mask has nothing to compare
        for row, mask in enumerate((batch["mask"].flatten(0, 1)[:, 0], logits)):
            found = (mask > 0) & known
            self.counts[row] += torch.stack([(found & target).sum(), ((found | target) & known).sum()]).cpu()

    def on_validation_epoch_end(self) -> None:
        iou = self.counts[:, 0] / self.counts[:, 1].clamp(min=1)
        self.log_dict({"val_prompt_iou": iou[0].float(), "val_iou": iou[1].float()}, prog_bar=True)


def _weight(batch: dict[str, Tensor]) -> Tensor:
    return batch["weight"].flatten(0, 1)


def prompted_logits(network: GeneralistNetwork, embeddings: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Mask logits (N * K, 256, 256) and predicted IoU (N * K,) for all prompts of a batch."""
    logits, iou_pred = [], []
    for i, embedding in enumerate(embeddings):
        has_box, has_mask = batch["has_box"][i], batch["has_mask"][i]
        for k in range(len(has_box)):  # one by one: prompts of one call must be of one kind
            part = slice(k, k + 1)
            mask, iou = network.decode(
                embedding,
                batch["box"][i, part] if has_box[k] else None,
                batch["mask"][i, part] if has_mask[k] else None,
            )
            logits.append(mask)
            iou_pred.append(iou)
    return torch.cat(logits), torch.cat(iou_pred)


def mask_loss(logits: Tensor, iou_pred: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Cross-entropy that weighs boundaries, soft dice, and the squared error of the predicted IoU.

    Args:
        logits: (N, H, W).
        iou_pred: (N,).
        target: (N, H, W) bool.
        weight: (N, H, W); 0 where nothing is known.
    """
    truth = target.float()
    # up to 6 times as much near a boundary (the structure loss of F3Net, Wei et al. 2020)
    near = (F.avg_pool2d(truth[:, None], 15, stride=1, padding=7)[:, 0] - truth).abs()
    emphasis = weight * (1 + 5 * near)
    there = (weight.sum(dim=(1, 2)) > 0).float()
    count = there.sum().clamp(min=1)

    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * emphasis).sum(dim=(1, 2)) / emphasis.sum(dim=(1, 2)).clamp(min=1)
    score = torch.sigmoid(logits) * weight
    overlap, total = (score * truth).sum(dim=(1, 2)), score.sum(dim=(1, 2)) + (truth * weight).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / (total + 1)

    found = (logits > 0) & (weight > 0)
    true_iou = (found & target).sum(dim=(1, 2)) / ((found | target) & (weight > 0)).sum(dim=(1, 2)).clamp(min=1)
    error = (iou_pred - true_iou) ** 2
    return {
        "loss_entropy": (5 * entropy * there).sum() / count,
        "loss_dice": (dice * there).sum() / count,
        "loss_iou": (error * there).sum() / count,
    }
