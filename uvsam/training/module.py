"""The training loop of the specialist as a Lightning module."""

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from uvsam.catalog.cards import ModelCard
from uvsam.models.specialist import normalise, village_logit
from uvsam.training.config import SpecialistTraining
from uvsam.training.losses import LabelLoss
from uvsam.training.targets import TargetTable

THRESHOLDS = torch.arange(1, 20) / 20


class SpecialistModule(L.LightningModule):
    """Trains a network on batches of ``image``, ``valid``, ``rows``; keeps an average of its weights.

    Args:
        network: (N, 3, H, W) to (N, K, H, W).
        card: gives the normalisation.
        table: what label rows mean.
        config: the run.
    """

    def __init__(self, network: nn.Module, card: ModelCard, table: TargetTable, config: SpecialistTraining) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = AveragedModel(network, avg_fn=self._average, use_buffers=True)
        self.card, self.config = card, config
        self.loss = LabelLoss(table, config.dice_weight)
        self.counts = torch.zeros(3, len(THRESHOLDS), dtype=torch.float64)

    def _average(self, average: Tensor, current: Tensor, seen: Tensor | int) -> Tensor:
        """Exponential moving average that forgets the start of training."""
        decay = min(self.config.average_decay, (1 + float(seen)) / (10 + float(seen)))
        return average + (1 - decay) * (current - average) if current.is_floating_point() else current

    def _images(self, batch: dict[str, Tensor]) -> Tensor:
        return normalise(batch["image"], batch["valid"], self.card).contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            images = self._images(batch)
        logits = self.network(images)
        with torch.autocast(self.device.type, enabled=False):
            loss: Tensor = self.loss(logits.float(), batch["rows"])
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        self.counts.zero_()

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        village = self.loss.village[batch["rows"].long()]
        score = torch.sigmoid(village_logit(self.average.module(self._images(batch)).float()))
        for label, sign in ((1.0, 0), (0.0, 1)):
            chosen = score[village == label].cpu()
            self.counts[sign] += torch.stack([(chosen >= threshold).sum() for threshold in THRESHOLDS])
            if label == 1.0:
                self.counts[2] += len(chosen)

    def on_validation_epoch_end(self) -> None:
        hits, alarms, villages = self.counts
        iou = hits / (villages + alarms).clamp(min=1)
        best = int(iou.argmax())
        self.log_dict({"val_iou": iou[best].float(), "val_threshold": THRESHOLDS[best]}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.config.learning_rate,
        )
        # a function of the step alone, so that a stopped run can go on with another number of steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Linear warm-up over 15 % of the steps, then a cosine to 1 % of the learning rate."""
        warm = max(1, round(0.15 * self.config.steps))
        if step < warm:
            return (step + 1) / warm
        done = min(1.0, (step - warm) / max(1, self.config.steps - warm))
        return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
