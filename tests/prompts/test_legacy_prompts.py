"""The paper's prompts, against OpenCV and by hand."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uvsam.prompts.legacy import find_contours, legacy_prompts


@settings(max_examples=500, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)))
def test_contours_are_those_of_opencv_in_its_order(mask):
    theirs, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    ours = find_contours(mask > 0)
    assert len(ours) == len(theirs)
    depth = []
    for points, contour in zip(theirs, ours, strict=True):
        parent = tree[0][len(depth)][3]
        depth.append(0 if parent < 0 else depth[parent] + 1)
        x, y, width, height = cv2.boundingRect(points)
        assert contour.bounds_xyxy == (x, y, x + width, y + height)
        assert contour.area_px == cv2.contourArea(points)
        assert contour.hole == depth[-1] % 2
        drawn = np.zeros_like(mask)
        cv2.drawContours(drawn, [points], 0, 1, cv2.FILLED)
        assert np.array_equal(contour.filled, drawn[y : y + height, x : x + width])


def test_contours_by_hand():
    mask = np.zeros((20, 30), bool)
    mask[2:12, 3:15] = True
    mask[5, 7] = False  # a hole of one pixel: its border is a diamond of four
    mask[15, 20:28] = True  # a line has no area
    assert [contour[:2] for contour in find_contours(mask)] == [
        ((20, 15, 28, 16), 0),
        ((3, 2, 15, 12), 11 * 9),
        ((6, 4, 9, 7), 2),
    ]


def logits_of(mask):
    return np.stack([np.zeros(mask.shape), np.where(mask, 4, -3)]).astype(np.float32)


def test_the_rules_of_the_paper():
    mask = np.zeros((1024, 1024), bool)
    mask[0:102, 500:602] = True  # area 101 * 101 is enough, y2 = 102 is beyond 100
    mask[200:301, 200:301] = True  # 100 * 100 is not
    mask[400:900, 20:99] = True  # large, but ends before x = 100
    mask[400:900, 500:900] = True
    mask[500:650, 600:750] = False  # a hole as large is a prompt of its own
    prompts = legacy_prompts(logits_of(mask))
    boxes = np.array([[500, 0, 602, 102], [500, 400, 900, 900], [599, 499, 751, 651]])
    assert sorted(prompts.boxes_xyxy.tolist()) == sorted((boxes + 0.5).tolist())
    assert len(set(prompts.region_id.tolist())) == 2
    # The whole image for every box, the village logit alone.
    for prompt in prompts.mask_logits[:, 0]:
        assert prompt[60, 60] == prompt[110, 140] == 4
        assert prompt[0, 0] == prompt[130, 160] == -3
        assert prompt[0:30, 125].tolist() == [4] * 25 + [0.5] + [-3] * 4


def test_no_village_is_no_prompt():
    prompts = legacy_prompts(logits_of(np.zeros((1024, 1024), bool)))
    assert len(prompts) == 0
    assert prompts.mask_logits.shape == (0, 1, 256, 256)
