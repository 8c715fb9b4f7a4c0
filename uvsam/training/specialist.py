"""The training loop of the specialist as a Lightning module."""

import torch
from torch import Tensor, nn

from uvsam.catalog.cards import ModelCard
from uvsam.models.specialist import normalise, village_logit
from uvsam.training.averaged import AveragedModule
from uvsam.training.config import SpecialistTraining
from uvsam.training.losses import LabelLoss
from uvsam.training.targets import TargetTable

THRESHOLDS = torch.arange(1, 20) / 20


def keep_batch_statistics(network: nn.Module) -> None:
    """Of a network that was trained already: those of few crops, or smaller ones, would spoil it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


class SpecialistModule(AveragedModule):
    """Trains a network on batches of ``image``, ``valid``, ``rows``.

    Args:
        network: (N, 3, H, W) to (N, K, H, W).
        card: gives the normalisation.
        table: what label rows mean.
        config: the run.
    """

    def __init__(self, network: nn.Module, card: ModelCard, table: TargetTable, config: SpecialistTraining) -> None:
        super().__init__(network, config)
        self.run: SpecialistTraining = config
        self.card = card
        self.loss = LabelLoss(table, config.dice_weight)
        self.counts = torch.zeros(3, len(THRESHOLDS), dtype=torch.float64)

    def train(self, mode: bool = True) -> "SpecialistModule":
        """A specialist to start from keeps its batch statistics."""
        super().train(mode)
        if self.run.specialist is not None:
            keep_batch_statistics(self.network)
        return self

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
        # of equally good ones that in the middle: where nothing is found, all are
        best = int(torch.where(iou == iou.max(), (THRESHOLDS - 0.5).abs(), torch.inf).argmin())
        self.log_dict({"val_iou": iou[best].float(), "val_threshold": THRESHOLDS[best]}, prog_bar=True)
