"""The paper's prompts, against its border following and by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uvsam.prompts.legacy import find_contours, legacy_prompts

RING = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]  # clockwise from the right, y down


def around(centre, first, step):
    """The eight neighbours of a pixel from one of them on, clockwise (step 1) or counterclockwise (-1)."""
    at = RING.index((first[0] - centre[0], first[1] - centre[1]))
    turned = (RING[(at + step * k) % 8] for k in range(8))
    return [(centre[0] + dy, centre[1] + dx) for dy, dx in turned]


def followed_borders(mask):
    """Borders of a binary map by following them: Suzuki and Abe (1985), algorithm 1, with 8-connected foreground."""
    f = np.pad(mask.astype(int), 1)
    borders, number = [], 1
    for i, j in np.ndindex(f.shape):
        if f[i, j] == 1 and f[i, j - 1] == 0:
            start, hole = (i, j - 1), False
        elif f[i, j] >= 1 and f[i, j + 1] == 0:
            start, hole = (i, j + 1), True
        else:
            continue
        number += 1
        last = next((place for place in around((i, j), start, 1) if f[place]), None)
        points = [(i, j)]
        if last is None:
            f[i, j] = -number
        else:
            before, here = last, (i, j)
            while True:
                right_is_empty = False
                for place in [*around(here, before, -1)[1:], before]:
                    if f[place]:
                        break
                    right_is_empty |= place == (here[0], here[1] + 1)
                if right_is_empty:
                    f[here] = -number
                elif f[here] == 1:
                    f[here] = number
                if place == (i, j) and here == last:
                    break
                before, here = here, place
                points.append(here)
        y, x = np.array(points).T - 1
        area = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
        borders.append(((x.min(), y.min(), x.max() + 1, y.max() + 1), area, hole))
    return borders


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_contours_are_those_of_border_following(mask):
    found = sorted((contour.bounds_xyxy, contour.area_px, contour.hole) for contour in find_contours(mask))
    assert found == sorted(followed_borders(mask))


def test_contours_by_hand():
    mask = np.zeros((20, 30), bool)
    mask[2:12, 3:15] = True
    mask[5, 7] = False  # a hole of one pixel: its border is a diamond of four
    mask[15, 20:28] = True  # a line has no area
    assert [contour[:2] for contour in find_contours(mask)] == [
        ((3, 2, 15, 12), 11 * 9),
        ((6, 4, 9, 7), 2),
        ((20, 15, 28, 16), 0),
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
