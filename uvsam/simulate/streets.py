"""Painters of streets around blocks, and of highways, railways and water."""

import numpy as np

from uvsam.simulate.hashing import Floats, cell_hash, unit
from uvsam.simulate.layout import LineKind
from uvsam.simulate.looks import Look
from uvsam.simulate.patch import CARS, Mask, colours

_ZERO = np.float32(0)


def _put(rgb: Floats, mask: Mask, colour: tuple[float, float, float] | Floats) -> None:
    for band in range(3):
        value = colour[band]
        np.copyto(rgb[band], value if isinstance(value, np.ndarray) else np.float32(value), where=mask)


def _traffic(rgb: Floats, height: Floats, along: Floats, across: Floats, where: Mask, share: float, key: int) -> None:
    """Cars in lanes of 3.4 m; at most one per 9 m of lane."""
    lane, stretch = np.floor(across / np.float32(3.4)), np.floor(along / np.float32(9))
    hashes = cell_hash(lane, stretch, key)
    a = along - (stretch + np.float32(0.5)) * np.float32(9) - (unit(hashes, 3) - np.float32(0.5)) * np.float32(4)
    b = across - (lane + np.float32(0.5)) * np.float32(3.4)
    body = (unit(hashes, 1) < share) & (np.abs(a) < 2.3) & (np.abs(b) < 0.95) & where
    if body.any():
        for band in range(3):
            rgb[band][body] = colours(CARS, hashes[body], 2)[band]
        height[body] = 1.5


def _verge_trees(
    rgb: Floats, height: Floats, along: Floats, across: Floats, fine: Floats, look: Look, share: float, key: int
) -> None:
    """A row of crowns around across = 0."""
    step = np.floor(along / np.float32(7))
    hashes = cell_hash(step, 0, key)
    a = along - (step + np.float32(0.5)) * np.float32(7)
    r = np.float32(1.7) + np.float32(1.6) * unit(hashes, 1)
    inside = (unit(hashes, 2) < share) & (a * a + across * across < r * r)
    light = 1 + np.float32(0.14) * fine
    _put(rgb, inside, np.stack([light * np.float32(c) for c in look.tree]))
    np.copyto(height, np.float32(6), where=inside)


def paint_streets(
    u: Floats, v: Floats, fine: Floats, rect: Floats, half: Floats, look: Look, key: int
) -> tuple[Floats, Floats]:
    """(rgb (3, n), height (n,)) of the street pixels of a block: the nearest side's half of the street.

    Args:
        u, v: (n,) street grid coordinates, outside the block's inner rectangle.
        rect, half: (4,) the block's row in ``Blocks``.
    """
    sides = (u - rect[0], v - rect[1], rect[2] - u, rect[3] - v)
    left, top, right, bottom = (s - h for s, h in zip(sides, half, strict=True))
    is_left, is_top = left < right, top < bottom
    across_u, across_v = np.where(is_left, left, right), np.where(is_top, top, bottom)
    vertical = across_u < across_v
    depth, other = np.where(vertical, across_u, across_v), np.where(vertical, across_v, across_u)
    width = np.where(vertical, np.where(is_left, half[0], half[2]), np.where(is_top, half[1], half[3]))
    centre = depth + width
    along = np.where(vertical, v, u)
    kerb = np.where(width > 16, np.float32(7.5), np.where(width > 6, np.float32(2.6), np.float32(0.8)))
    carriage = width - kerb
    junction = other < 0
    shade = 1 + np.float32(0.03) * fine
    rgb = np.stack([shade * np.float32(c) for c in (108, 109, 111)])
    height = np.zeros_like(u)
    walk = (centre > carriage) & ~(junction & (other < -kerb))
    _put(rgb, walk, np.stack([shade * np.float32(c) for c in (146, 143, 138)]))
    big, medium = width > 16, width > 8
    free = ~junction & ~walk
    median = big & (centre < 1.3) & free
    _put(rgb, median, look.grass)
    line = free & medium & (np.abs((centre - np.float32(1.3)) % np.float32(3.4)) < 0.28) & (along % 8 < 3.4)
    edge_line = free & medium & (np.abs(centre - carriage + np.float32(0.5)) < 0.25)
    _put(rgb, line | edge_line, (150.0, 150.0, 148.0))
    crossing = ~walk & medium & (np.abs(other - np.float32(2.5)) < 1.7) & (centre % np.float32(1.4) < 0.75)
    _put(rgb, crossing, (168.0, 168.0, 166.0))
    _traffic(rgb, height, along, centre, free & (centre > 1.3), 0.14, key)
    green = big & walk & (centre > carriage + np.float32(1.5)) & (centre < carriage + np.float32(5.5))
    _put(rgb, green & (other > 4), look.grass)
    row_at = np.where(big, carriage + np.float32(3.5), np.where(medium, width - np.float32(0.6), np.float32(-99)))
    _verge_trees(rgb, height, along, centre - row_at, fine, look, 0.7, key + 1)
    return rgb, height


def paint_line(
    kind: LineKind, edge: Floats, across: Floats, along: Floats, fine: Floats, rough: Floats, look: Look, key: int
) -> tuple[Floats, Floats, Mask]:
    """(rgb (3, n), height (n,), painted (n,)) of pixels near a line, 20 m beyond its edge included."""
    shade = 1 + np.float32(0.05) * rough + np.float32(0.03) * fine
    rgb = np.stack([shade * np.float32(c) for c in look.grass])
    height = np.zeros_like(edge)
    if kind in (LineKind.RIVER, LineKind.LAKE):
        water = edge < 0
        depth = np.clip(edge * np.float32(-1 / 60), 0, 1)
        ripple = 1 + np.float32(0.018) * rough + np.float32(0.012) * fine - np.float32(0.12) * depth
        _put(rgb, (edge >= 0) & (edge < 3), (158.0, 154.0, 146.0))
        _put(rgb, (edge >= 8) & (edge < 10.5), (150.0, 147.0, 140.0))
        _verge_trees(rgb, height, along, edge - np.float32(6), fine, look, 0.6, key)
        _verge_trees(rgb, height, along, edge - np.float32(14), fine, look, 0.8, key + 1)
        _put(rgb, water, np.stack([ripple * np.float32(c) for c in look.water]))
        np.copyto(height, _ZERO, where=water)
        return rgb, height, edge < 18
    if kind == LineKind.RAILWAY:
        bed = edge < -2
        _put(rgb, bed, np.stack([shade * np.float32(c) for c in (126, 117, 108)]))
        rail = bed & (np.abs(across % np.float32(5.0) - np.float32(2.5)) < 1.0)
        _put(rgb, rail, (104.0, 97.0, 92.0))
        _verge_trees(rgb, height, along, edge - np.float32(3), fine, look, 0.5, key)
        return rgb, height, edge < 6
    road = edge < -4
    _put(rgb, road, np.stack([(1 + np.float32(0.025) * fine) * np.float32(c) for c in (112, 113, 115)]))
    centre = np.abs(across)
    _put(rgb, centre < 1.6, look.grass)
    lanes = road & (np.abs((centre - np.float32(2.4)) % np.float32(3.6)) < 0.28) & (along % 12 < 5)
    lines = road & ((np.abs(centre - np.float32(2.2)) < 0.25) | (np.abs(edge + np.float32(5)) < 0.3))
    _put(rgb, lanes | lines, (160.0, 160.0, 158.0))
    _traffic(rgb, height, along, across, road & (centre > 2.5), 0.13, key)
    _verge_trees(rgb, height, along, edge - np.float32(1), fine, look, 0.85, key + 1)
    _verge_trees(rgb, height, along, edge - np.float32(8), fine, look, 0.85, key + 2)
    return rgb, height, edge < 12
