"""The loss of partial and noisy labels against torch's own, and its limits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from uvsam.training.config import Source
from uvsam.training.losses import LabelLoss
from uvsam.training.targets import IGNORE, target_table

CLASSES = ("building", "water", "village")


def source(**fields: object) -> Source:
    return Source.model_validate({"name": "s", "images": "i", "labels": "l"} | fields)


def logits(seed: int, n: int = 6) -> torch.Tensor:
    return 3 * torch.randn(2, len(CLASSES), n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 10_000))
def test_labels_that_name_a_class_are_cross_entropy(seed: int) -> None:
    table = target_table([source(values={0: "building", 1: "water", 2: "village"})], CLASSES)
    labels = torch.randint(4, (2, 6, 6), generator=torch.Generator().manual_seed(seed))  # 3 is not in the table
    rows = torch.from_numpy(table.lookup[0])[labels]
    labels[labels == 3] = -100
    expected = F.cross_entropy(logits(seed), labels) if (labels >= 0).any() else torch.tensor(0.0)
    torch.testing.assert_close(LabelLoss(table, 0.0)(logits(seed), rows), expected.double(), atol=1e-5, rtol=1e-5)


def test_other_is_the_sum_of_all_classes_but_village() -> None:
    table = target_table([source(values={0: "other", 1: "village"})], CLASSES)
    rows = torch.full((2, 6, 6), int(table.lookup[0][0]))
    expected = -torch.log(logits(3).softmax(1)[:, :2].sum(1)).mean()
    torch.testing.assert_close(LabelLoss(table, 0.0)(logits(3), rows), expected, atol=1e-5, rtol=1e-5)


def test_labels_that_miss_villages_punish_a_sure_village_less() -> None:
    strict = target_table([source()], CLASSES)
    lenient = target_table([source(missed_share=0.2)], CLASSES)
    sure = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    sure[:, -1] = 20
    rows = torch.full((1, 4, 4), int(strict.lookup[0][0]))
    assert LabelLoss(strict, 0.0)(sure, rows) > 10
    # an outright village in unlabelled ground costs -log(0.2) at most
    assert LabelLoss(lenient, 0.0)(sure, rows) == pytest.approx(1.609, abs=1e-3)


def test_unlabelled_pixels_have_no_gradient() -> None:
    table = target_table([source()], CLASSES)
    rows = torch.full((1, 6, 6), IGNORE)
    rows[0, 0, 0] = int(table.lookup[0][1])
    values = logits(5)[:1].requires_grad_()
    LabelLoss(table, 0.5)(values, rows).backward()
    assert values.grad is not None
    assert values.grad[0, :, 0, 0].abs().sum() > 0
    assert values.grad[0, :, 1:].abs().sum() == 0


@given(st.integers(0, 1000))
def test_dice_is_small_for_the_truth_and_large_for_its_opposite(seed: int) -> None:
    table = target_table([source()], ("other", "village"))
    truth = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(seed)) > 0.5
    rows = torch.where(truth, int(table.lookup[0][1]), int(table.lookup[0][0]))
    right = torch.stack([torch.where(truth, -20.0, 20.0), torch.where(truth, 20.0, -20.0)], 1)
    loss = LabelLoss(table, 1.0)
    assert loss(right, rows) < 0.01 < 0.9 < loss(-right, rows)
