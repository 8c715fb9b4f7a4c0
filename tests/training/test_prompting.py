"""Prompts for training a generalist: they are rough versions of their targets, in SAM's frame."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from uvsam.training.config import Source
from uvsam.training.prompting import MOST_LOG_ODDS, box_of, choose_piece, class_of_row, degrade, prompt_sample
from uvsam.training.targets import target_table

CLASSES = ("built-up", "water", "village")


def blocks(seed: int) -> np.ndarray:
    """A (512, 512) map of classes 0..2 with some ground of none (-1)."""
    cells = np.random.default_rng(seed).integers(-1, 3, (8, 8))
    return np.kron(cells, np.ones((64, 64), int))


@given(st.integers(0, 2**31 - 1))
def test_targets_are_pieces_of_one_class(seed: int) -> None:
    classes = blocks(seed)
    found = prompt_sample(
        classes, classes >= 0, 3, village=2, village_share=0.5, min_cells=200, rng=np.random.default_rng(seed)
    )
    grid = classes[1::2, 1::2]
    for target, weight, box, masked in zip(
        found.target.numpy(), found.weight.numpy() > 0, found.box.numpy() / 4, found.has_mask, strict=True
    ):
        assert (np.unique(grid[target]).size == 1) == bool(target.any())
        if masked:
            assert np.array_equal(weight, grid >= 0) or not weight.any()
            assert target.sum() == 0 or target.sum() >= 200
        elif weight.any():  # the box alone: all village near it
            y, x = np.mgrid[:256, :256] + 0.5
            near = (box[0] - 8 <= x) & (x < box[2] + 8) & (box[1] - 8 <= y) & (y < box[3] + 8)
            assert np.array_equal(weight, near & (grid >= 0))
            assert np.array_equal(target, near & (grid == 2))
    assert (found.has_box | found.has_mask).all()


@given(st.integers(0, 2**31 - 1))
def test_boxes_lie_in_the_frame_and_hold_something(seed: int) -> None:
    classes = blocks(seed)
    box = prompt_sample(
        classes, classes >= 0, 4, village=2, village_share=0.5, min_cells=200, rng=np.random.default_rng(seed)
    ).box.numpy()
    assert (box >= 0).all()
    assert (box <= 1024).all()
    assert (box[:, 2:] > box[:, :2]).all()


def test_villages_come_as_often_as_asked_where_there_are_any() -> None:
    classes = np.where(np.arange(512) < 256, 2, 0) * np.ones((512, 1), int)
    rng = np.random.default_rng(0)
    left = torch.cat([
        prompt_sample(classes, classes >= 0, 20, village=2, village_share=0.75, min_cells=200, rng=rng).target[:, 0, 0]
        for _ in range(10)
    ])  # fmt: skip
    assert 0.65 < left.float().mean() < 0.85


def test_nothing_to_prompt_has_no_weight() -> None:
    nothing = np.full((512, 512), -1)
    found = prompt_sample(
        nothing, nothing == -1, 2, village=2, village_share=0.5, min_cells=200, rng=np.random.default_rng(0)
    )
    assert not found.weight.any()
    assert not found.target.any()


@given(st.integers(0, 2**31 - 1), st.integers(20, 90))
def test_a_rough_prompt_still_says_where_the_target_is(seed: int, radius: int) -> None:
    y, x = np.mgrid[:256, :256]
    target = (y - 128) ** 2 + (x - 128) ** 2 < radius**2
    prompt = degrade(target, np.random.default_rng(seed)).numpy()
    assert np.abs(prompt).max() <= MOST_LOG_ODDS
    assert prompt[target].mean() > prompt[~target].mean()


def test_prompts_are_as_wrong_as_a_rough_specialist_and_not_more() -> None:
    y, x = np.mgrid[:256, :256]
    target = ((y - 128) ** 2 + (x - 128) ** 2 < 60**2) & ~((y > 120) & (x > 150))
    rng = np.random.default_rng(1)
    masks = [degrade(target, rng).numpy() > 0 for _ in range(60)]
    ious = [(mask & target).sum() / (mask | target).sum() for mask in masks]
    assert 0.75 < np.median(ious) < 0.95


def test_a_piece_is_joined_over_small_gaps_only() -> None:
    mask = np.zeros((256, 256), bool)
    mask[20:60, 20:60] = mask[20:60, 64:100] = mask[150:200, 150:200] = True
    rng = np.random.default_rng(0)
    pieces = {choose_piece(mask, 100, rng).tobytes() for _ in range(60)}
    sizes = sorted(int(np.frombuffer(piece, bool).sum()) for piece in pieces)
    assert sizes == [1440, 1600, 2500, 3040]
    assert choose_piece(mask, 10_000, rng) is None
    assert ndimage.label(mask)[1] == 3


def test_box_follows_the_edges_of_cells() -> None:
    mask = np.zeros((256, 256), bool)
    mask[10:20, 30:50] = True
    assert box_of(mask, mask).tolist() == [120, 40, 200, 80]


def test_rows_name_a_class_only_when_sure() -> None:
    sources = [
        Source(name="a", images="a", labels="a", values={1: "built-up", 2: "water", 3: "village"}),
        Source(name="b", images="b", labels="b", values={0: "other", 1: "village"}, missed_share=0.1, loose_share=0.1),
    ]
    table = target_table(sources, CLASSES)
    names = class_of_row(table)
    assert names[table.lookup[0][[1, 2, 3]]].tolist() == [0, 1, 2]
    assert names[table.lookup[1][[0, 1]]].tolist() == [-1, 2]
    assert names[0] == -1
