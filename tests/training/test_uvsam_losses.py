"""The losses of UV-SAM against numbers worked out by hand."""

import math

import pytest
import torch

from uvsam.training.uvsam_losses import box_targets, mask_losses, paper_entropy, paper_mask_losses

KNOWN = torch.ones(2, 2, dtype=torch.bool)
TARGET = torch.tensor([[[True, True], [False, False]]])
LOGITS = torch.tensor([[[math.log(3), 0.2], [0.0, -math.log(3)]]])  # scores 3/4, 0.5498, 1/2, 1/4
SCORES = [0.75, 1 / (1 + math.exp(-0.2)), 0.5, 0.25]
ENTROPY = [-math.log(SCORES[0]), -math.log(SCORES[1]), -math.log(0.5), -math.log(0.75)]
DICE = 1 - (2 * (SCORES[0] + SCORES[1]) + 1) / (sum(SCORES) + 2 + 1)


def test_the_paper_takes_focal_of_the_mean_and_logits_from_half_on() -> None:
    mean = sum(ENTROPY) / 4
    focal = 0.8 * (1 - math.exp(-mean)) ** 2 * mean
    iou = 1 / 2  # of the two village pixels one has a logit of 0.5 or more
    loss = paper_mask_losses(LOGITS, torch.tensor([0.9]), TARGET, KNOWN)
    assert loss.tolist() == pytest.approx([focal + DICE + (0.9 - iou) ** 2])


def test_ours_takes_focal_per_pixel_and_logits_above_zero() -> None:
    focal = sum(0.8 * (1 - math.exp(-entropy)) ** 2 * entropy for entropy in ENTROPY) / 4
    loss = mask_losses(LOGITS, torch.tensor([0.9]), TARGET, KNOWN)
    assert loss.tolist() == pytest.approx([focal + DICE + (0.9 - 1) ** 2])


@pytest.mark.parametrize("formula", [mask_losses, paper_mask_losses])
def test_unlabelled_ground_does_not_matter(formula) -> None:
    known = torch.tensor([[True, True], [False, True]])
    changed, other = LOGITS.clone(), TARGET.clone()
    changed[0, 1, 0], other[0, 1, 0] = 7.0, True
    iou = torch.tensor([0.4])
    assert torch.equal(formula(LOGITS, iou, TARGET, known), formula(changed, iou, other, known))
    assert torch.isfinite(formula(LOGITS, iou, TARGET, torch.zeros_like(known))).all()


def test_entropy_of_the_paper_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.stack([torch.zeros(2, 2), LOGITS[0]])[None]
    village = torch.tensor([[[1.0, float("nan")], [0.0, 0.0]]])
    wanted = (ENTROPY[0] + ENTROPY[2] + ENTROPY[3]) / 3
    assert float(paper_entropy(logits, village)) == pytest.approx(wanted)


def test_a_target_is_what_is_village_in_its_box() -> None:
    village = torch.full((8, 8), float("nan"))
    village[:, :4], village[2:6, 1:7] = 0, 1
    # half a pixel in the 1024 frame, as the paper's boxes are: the pixels are the same
    for shift in (0.0, 0.5):
        boxes = torch.tensor([[0.0, 0, 1024, 1024], [256, 256, 512, 384]]) + shift
        target = box_targets(village, boxes)
        assert torch.equal(target[0], village == 1)
        assert target[1].nonzero().tolist() == [[2, 2], [2, 3]]
