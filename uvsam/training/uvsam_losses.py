"""Losses of UV-SAM (Zhang et al., AAAI 2024): of the generalist's masks, and of the specialist as the paper has it.

The formulas of the paper's experiments have the word paper in their name; the others are what they stand for.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from uvsam.prompts import FRAME_PX

ALPHA, GAMMA = 0.8, 2.0
PAPER_LEVEL = 0.5
"""The experiments compare logits with it, though masks begin at 0."""


def box_targets(village: Tensor, boxes: Tensor) -> Tensor:
    """What is village inside each box: the pixels whose centres lie in it.

    Args:
        village: (S, S), 1 where labels say village.
        boxes: (N, 4) x1, y1, x2, y2 in SAM's frame.

    Returns:
        (N, S, S) bool.
    """
    side = len(village)
    centres = (torch.arange(side, device=village.device) + 0.5) * FRAME_PX / side
    x1, y1, x2, y2 = boxes.T[..., None]
    across, down = (x1 <= centres) & (centres < x2), (y1 <= centres) & (centres < y2)
    inside: Tensor = down[:, :, None] & across[:, None, :] & (village == 1)
    return inside


def mask_losses(logits: Tensor, iou_pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Focal loss per pixel, soft dice, and the squared error of the predicted IoU.

    Args:
        logits: (N, S, S).
        iou_pred: (N,).
        target: (N, S, S) bool.
        known: (S, S) or (N, S, S) bool; what is not known does not count.

    Returns:
        (N,), one for each mask.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    focal = _mean(ALPHA * (1 - torch.exp(-entropy)) ** GAMMA * entropy, known)
    return focal + _dice(logits, target, known) + _iou_error(logits > 0, iou_pred, target, known)


def paper_mask_losses(logits: Tensor, iou_pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """As :func:`mask_losses`, but focal of the mean cross-entropy, and the IoU of the logits from 0.5 on."""
    entropy = _mean(F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none"), known)
    focal = ALPHA * (1 - torch.exp(-entropy)) ** GAMMA * entropy
    return focal + _dice(logits, target, known) + _iou_error(logits >= PAPER_LEVEL, iou_pred, target, known)


def paper_entropy(logits: Tensor, village: Tensor) -> Tensor:
    """Cross-entropy of two classes, the mean over all labelled pixels.

    Args:
        logits: (N, 2, S, S).
        village: (N, S, S), 1, 0, or NaN where there is no label.
    """
    known = ~torch.isnan(village)
    entropy = F.cross_entropy(logits, torch.nan_to_num(village).long(), reduction="none")
    return (entropy * known).sum() / known.sum().clamp(min=1)


def _mean(values: Tensor, known: Tensor) -> Tensor:
    return (values * known).sum(dim=(1, 2)) / known.sum(dim=(-2, -1)).clamp(min=1)


def _dice(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    score, truth = torch.sigmoid(logits) * known, target * known
    overlap, total = (score * truth).sum(dim=(1, 2)), score.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    return 1 - (2 * overlap + 1) / (total + 1)


def _iou_error(found: Tensor, iou_pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
    overlap = (found & target & known).sum(dim=(1, 2))
    return (iou_pred - overlap / ((found | target) & known).sum(dim=(1, 2)).clamp(min=1)) ** 2
