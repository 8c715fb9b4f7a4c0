"""The loss of prompted masks."""

import torch

from uvsam.training.generalist import mask_loss


def square() -> torch.Tensor:
    target = torch.zeros(2, 64, 64, dtype=torch.bool)
    target[0, 10:30, 10:40] = True
    target[1, 40:60, 5:25] = True
    return target


def total(logits: torch.Tensor, iou: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> float:
    return float(sum(mask_loss(logits, iou, target, weight).values()))


def test_the_truth_costs_nothing_and_an_error_costs_most_at_the_boundary() -> None:
    target, known = square(), torch.ones(2, 64, 64)
    right = torch.where(target, 20.0, -20.0)
    best = total(right, torch.ones(2), target, known)
    assert best < 1e-3
    at_boundary, inside = right.clone(), right.clone()
    at_boundary[0, 10, 10] = -20
    inside[0, 20, 25] = -20
    assert total(at_boundary, torch.ones(2), target, known) > total(inside, torch.ones(2), target, known) > best


def test_unknown_ground_does_not_matter() -> None:
    target, known = square(), torch.ones(2, 64, 64)
    known[:, :, 32:] = 0
    logits = torch.randn(2, 64, 64)
    changed = logits.clone()
    changed[:, :, 32:] = torch.randn(2, 64, 32)
    iou = torch.rand(2)
    assert total(logits, iou, target, known) == total(changed, iou, target, known)


def test_a_sample_without_a_target_is_left_out() -> None:
    target, known = square(), torch.ones(2, 64, 64)
    known[1] = 0
    logits, iou = torch.randn(2, 64, 64), torch.rand(2)
    alone = total(logits[:1], iou[:1], target[:1], known[:1])
    assert abs(total(logits, iou, target, known) - alone) < 1e-5
    assert total(logits, iou, target, torch.zeros(2, 64, 64)) == 0


def test_the_predicted_iou_is_compared_with_the_mask_as_it_is() -> None:
    target, known = square(), torch.ones(2, 64, 64)
    half = torch.full((2, 64, 64), -20.0)
    half[0, 10:30, 10:25] = 20.0  # half of the first target
    half[1][target[1]] = 20.0
    error = float(mask_loss(half, torch.tensor([0.5, 1.0]), target, known)["loss_iou"])
    assert error < 1e-9
