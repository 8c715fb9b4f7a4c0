"""The paper's evaluation of tiles, by hand and against OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from uvsam.evaluation.paper import keep_large, score_tile

Mask = NDArray[np.bool_]
TILE = (40, 60)


def tile(*boxes: tuple[int, int, int, int]) -> Mask:
    """Rectangles x1, y1, x2, y2; each inverts what is there, so that one inside another is a hole."""
    mask = np.zeros(TILE, bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] ^= True
    return mask


def counts(predicted: Mask, truth: Mask) -> tuple[float, float, float]:
    found = score_tile(predicted, truth, np.ones(TILE, bool)).contours
    return found.tp, found.fp, found.fn


NOTHING = tile()
ONE, TWO = (2, 2, 12, 12), (20, 2, 30, 12)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (NOTHING, NOTHING, (0, 0, 0)),
        (NOTHING, tile(ONE), (0, 0, 1)),
        (tile(ONE), NOTHING, (0, 1, 0)),  # where the experiments' own code stops
        (tile(ONE), tile(ONE), (1, 0, 0)),
        (tile(ONE), tile(TWO), (0, 1, 1)),
        (tile((0, 0, 3, 3)), tile(ONE), (1, 0, 0)),  # one common pixel is enough
        (tile((2, 2, 30, 12)), tile(ONE, TWO), (1, 0, 1)),  # one finds one, not two
        (tile((2, 2, 6, 12), (8, 2, 12, 12)), tile(ONE), (1, 1, 0)),  # two find one
        (tile(ONE), tile(ONE, (4, 4, 10, 10)), (1, 0, 1)),  # a hole in the truth is an instance of its own
        (tile(ONE, (4, 4, 10, 10)), tile(ONE), (1, 1, 0)),  # and so is one in the prediction
        # the last in the image chooses first: it takes the large one, which the upper one fits better than any other
        (tile((20, 10, 38, 20), (20, 22, 30, 30)), tile((20, 10, 40, 30)), (1, 1, 0)),
    ],
)
def test_contours_by_hand(predicted: Mask, truth: Mask, expected: tuple[int, int, int]) -> None:
    assert counts(predicted, truth) == expected


def test_pixels_are_counted_where_labels_are() -> None:
    valid = np.ones(TILE, bool)
    valid[:7] = False
    pixels = score_tile(tile(ONE), tile((2, 2, 22, 12)), valid).pixels
    assert (pixels.tp, pixels.fp, pixels.fn) == (50, 0, 50)
    assert score_tile(NOTHING, NOTHING, valid).pixels.iou is None


def test_what_is_kept_is_large_ends_far_from_the_corner_and_has_no_hole() -> None:
    mask = np.zeros((400, 400), bool)
    mask[150:251, 150:251] = True  # the area through its pixels' centres is 10,000, which is not above it
    assert not keep_large(mask).any()
    mask[150:252, 150:251] = True
    mask[160:180, 160:180] = False
    filled = np.zeros_like(mask)
    filled[150:252, 150:251] = True
    mask[300:310, 300:310] = True
    assert np.array_equal(keep_large(mask), filled)
    thin = np.zeros_like(mask)
    thin[0:400, 0:100] = True  # large, but its box ends at x = 100
    assert not keep_large(thin).any()
    assert keep_large(thin, min_corner_px=0).sum() == 40_000
    assert not keep_large(np.zeros_like(mask)).any()


def opencv_counts(predicted: Mask, truth: Mask) -> tuple[int, int, int]:
    """The rule with OpenCV's contours, drawn one by one."""

    def drawn(mask: Mask) -> list[Mask]:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        blank = [np.zeros(mask.shape, np.uint8) for _ in contours]
        return [
            cv2.drawContours(one, [points], 0, 1, cv2.FILLED) > 0 for one, points in zip(blank, contours, strict=True)
        ]

    left = drawn(truth)
    total, right = len(left), 0
    ours = drawn(predicted)
    for mask in ours:
        ious = [(mask & other).sum() / (mask | other).sum() for other in left]
        if ious and max(ious) > 0:
            right += 1
            left.pop(int(np.argmax(ious)))
    return right, len(ours) - right, total - right


MASKS = hnp.arrays(np.bool_, (10, 12))


@settings(max_examples=300, deadline=None)
@given(MASKS, MASKS)
def test_contours_are_counted_as_with_opencv(predicted: Mask, truth: Mask) -> None:
    found = score_tile(predicted, truth, np.ones(truth.shape, bool)).contours
    assert (found.tp, found.fp, found.fn) == opencv_counts(predicted, truth)


@settings(max_examples=100, deadline=None)
@given(MASKS, st.integers(0, 30), st.integers(0, 8))
def test_what_is_kept_is_as_with_opencv(mask: Mask, area: int, corner: int) -> None:
    expected = np.zeros(mask.shape, np.uint8)
    for points in cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, width, height = cv2.boundingRect(points)
        if cv2.contourArea(points) > area and x + width > corner and y + height > corner:
            cv2.drawContours(expected, [points], 0, 1, cv2.FILLED)
    assert np.array_equal(keep_large(mask, min_area_px=area, min_corner_px=corner), expected > 0)
