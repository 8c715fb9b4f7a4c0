"""Losses on pixels whose labels may be partial, noisy or missing."""

import torch
from torch import Tensor, nn

from uvsam.models.specialist import village_logit
from uvsam.training.targets import TargetTable


class LabelLoss(nn.Module):
    """Negative log-likelihood of the labels plus soft dice of the village class.

    Args:
        table: what each label row means.
        dice_weight: share of the dice term (Milletari et al. 2016), computed over the batch.
    """

    likelihood: Tensor
    village: Tensor

    def __init__(self, table: TargetTable, dice_weight: float) -> None:
        super().__init__()
        self.register_buffer("likelihood", torch.from_numpy(table.likelihood), persistent=False)
        self.register_buffer("village", torch.from_numpy(table.village), persistent=False)
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Mean loss over labelled pixels.

        Args:
            logits: (N, K, H, W) float.
            rows: (N, H, W) integer rows of the table; row 0 is ignored.
        """
        labelled = rows > 0
        count = labelled.sum().clamp(min=1)
        # log(sum(q * p)) with p = softmax, kept in the log domain; rows of zeros do not exist
        log_q = torch.log(self.likelihood.clamp(min=1e-20))[rows.long()].movedim(-1, 1)
        log_seen = torch.logsumexp(logits + log_q, dim=1) - torch.logsumexp(logits, dim=1)
        cross_entropy = -(log_seen * labelled).sum() / count
        return cross_entropy + self.dice_weight * self._dice(logits, rows)

    def _dice(self, logits: Tensor, rows: Tensor) -> Tensor:
        target = self.village[rows.long()]
        known = ~torch.isnan(target)
        # a label that may be wrong counts as much as it is right
        trust = self.likelihood.amax(dim=1)[rows.long()] * (1 - self.likelihood[:, -1])[rows.long()]
        target = torch.nan_to_num(target)
        weight = known * torch.where(target > 0, torch.ones_like(trust), trust)
        probability = torch.sigmoid(village_logit(logits))
        overlap = (weight * probability * target).sum()
        total = (weight * probability).sum() + (weight * target).sum()
        return 1 - (2 * overlap + 1) / (total + 1)
