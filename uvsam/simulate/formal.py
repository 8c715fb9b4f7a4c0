"""Painters of planned land uses: buildings on a regular grid, yards, trees."""

from collections.abc import Callable

import numpy as np

from uvsam.simulate.layout import Use
from uvsam.simulate.open_land import paint_bare, paint_fields, paint_park
from uvsam.simulate.patch import BRIGHT_ROOFS, FLAT_ROOFS, HALL_ROOFS, TILE_ROOFS, Cells, Mask, Palette, Patch, colours

PAVING = (150.0, 147.0, 142.0)
CONCRETE = (168.0, 166.0, 160.0)


def _green_ground(p: Patch, paved: float) -> None:
    """Lawn with paths: yards between apartment buildings."""
    p.fill(p.look.grass, 0.09, 0.05)
    path = (p.rough + np.float32(p.random(201, -0.3, 0.3))) > np.float32(1.3 - 2.2 * paved)
    p.put(path, PAVING)
    p.put(p.edge() < 2.0, PAVING)


def _roof(
    p: Patch, cells: Cells, inside: Mask, rim: np.ndarray, table: Palette, height: np.ndarray, spread: float = 0.08
) -> None:
    """Flat roof: colour per cell, bright parapet, boxes and tanks."""
    colour = cells.of(colours(table, cells.hashes, 10, spread))
    colour *= 1 + np.float32(0.035) * p.fine
    p.put(inside, colour, cells.of(height.astype(np.float32)))
    parapet = inside & (rim < 0.8)
    p.shade(parapet, 1.14)
    p.shade(inside & (rim > 0.8) & (rim < 1.9), 0.9)


def _boxes_on_roof(p: Patch, cells: Cells, inside: Mask, rim: np.ndarray, height: np.ndarray) -> None:
    ca, cb = (
        cells.of(cells.random(31, -0.2, 0.2)) * cells.size[0],
        cells.of(cells.random(32, -0.2, 0.2)) * cells.size[1],
    )
    box = (
        inside
        & (rim > 2)
        & (np.abs(cells.a - ca.astype(np.float32)) < 2.3)
        & (np.abs(cells.b - cb.astype(np.float32)) < 1.9)
    )
    p.put(box, (176, 174, 170), cells.of((height + 3).astype(np.float32)))


def paint_slabs(p: Patch) -> None:
    """Parallel apartment slabs, lawns and parking between them."""
    _green_ground(p, p.random(202, 0.1, 0.45))
    high = p.random(203) < 0.4
    floors = p.random(204, 14, 20) if high else p.random(204, 4, 7)
    thick = p.random(205, 12.5, 15) if high else p.random(205, 10.5, 13.5)
    pitch = thick + floors * 3 * p.random(206, 0.7, 1.0) * (0.7 if high else 1.1) + 4
    long = p.random(207, 42, 75)
    along_u = p.random(208) < 0.8
    cells = p.cells(long + 9, pitch, 1) if along_u else p.cells(pitch, long + 9, 1)
    a, b = (cells.a, cells.b) if along_u else (cells.b, cells.a)
    size_a = cells.size[0] if along_u else cells.size[1]
    p.trees(6.5, p.random(209, 0.2, 0.55), 2)
    lane = np.abs(np.abs(b) - np.float32((cells.size[1] if along_u else cells.size[0]) / 2)) < 2.6
    p.put(lane, (122, 121, 120), 0.0)
    p.cars(3, 0.35, lane)
    half_a, half_b = np.float32(size_a / 2 - 4.5), np.float32(thick / 2)
    bay = np.abs(np.abs(a * np.float32(1 / 15.0) % 1) - np.float32(0.5)) < 0.2
    rim = np.minimum(half_a - np.abs(a), half_b - np.abs(b) - np.where(bay, np.float32(1.4), np.float32(0)))
    inside = (rim > 0) & (cells.of(cells.random(5)) > 0.04)
    height = floors * 3 * np.ones_like(cells.random(6))
    _roof(p, cells, inside, rim, (BRIGHT_ROOFS, FLAT_ROOFS, TILE_ROOFS)[int(p.random(210) * 2.3)], height, 0.04)
    head = inside & bay & (np.abs(b) < 1.8)
    p.put(head, (158, 155, 150), cells.of((height + 2.6).astype(np.float32)))


def paint_towers(p: Patch) -> None:
    """Point blocks in gardens."""
    _green_ground(p, p.random(202, 0.15, 0.5))
    p.trees(7.5, p.random(209, 0.25, 0.6), 2)
    pitch = p.random(203, 46, 66)
    cells = p.cells(pitch, pitch, 1)
    core = np.float32(p.random(204, 7.5, 9.5))
    arm = np.float32(p.random(205, 11, 14.5))
    x, y = np.abs(cells.a), np.abs(cells.b)
    rim = np.maximum(np.minimum(arm - x, core - y), np.minimum(core - x, arm - y))
    inside = (rim > 0) & (cells.of(cells.random(5)) > 0.1)
    plinth = (np.maximum(x, y) < arm + 5) & ~inside
    p.put(plinth & (p.rough > -0.4), PAVING, 0.0)
    height = cells.random(6, 0.85, 1.0) * np.float32(p.random(206, 36, 62))
    _roof(p, cells, inside, rim, BRIGHT_ROOFS if p.random(207) < 0.5 else FLAT_ROOFS, height, 0.05)
    _boxes_on_roof(p, cells, inside, rim, height)


def paint_perimeter(p: Patch) -> None:
    """Closed blocks around courtyards."""
    p.fill(PAVING, 0.05, 0.04)
    p.trees(6.0, 0.45, 2)
    cells = p.cells(p.random(203, 58, 90), p.random(204, 50, 76), 1)
    half_a, half_b = np.float32(cells.size[0] / 2 - 1.2), np.float32(cells.size[1] / 2 - 1.2)
    outer = np.minimum(half_a - np.abs(cells.a), half_b - np.abs(cells.b))
    wing = np.float32(p.random(205, 11, 14))
    rim = np.minimum(outer, wing - outer)
    opening = (np.abs(cells.a) < 4) & (cells.b > 0) & (cells.of(cells.random(7)) < 0.6)
    inside = (rim > 0) & ~opening
    height = cells.random(6, 14, 24)
    table = (BRIGHT_ROOFS, FLAT_ROOFS, TILE_ROOFS)[int(p.random(206) * 2.99)]
    _roof(p, cells, inside, rim, table, height, 0.09)
    ridge = inside & (np.abs(rim - wing / 2) < 0.9) & (table is TILE_ROOFS)
    p.shade(ridge, 1.15)
    shed = (outer > wing + 6) & (cells.of(cells.random(8)) < 0.4) & (np.abs(cells.a) < 6) & (np.abs(cells.b) < 4)
    p.put(shed, (158, 155, 150), 4.0)


def paint_villas(p: Patch) -> None:
    """Detached houses with gardens along narrow streets."""
    p.fill(p.look.grass, 0.12, 0.07)
    pitch_b = p.random(203, 21, 27)
    cells = p.cells(p.random(204, 17, 24), pitch_b, 1)
    row = cells.index % cells.shape[1]
    street_side = np.where(row % 2 == 0, cells.b, -cells.b)
    street = street_side > np.float32(cells.size[1] / 2 - 3.2)
    p.trees(6.2, p.random(209, 0.35, 0.65), 2)
    p.put(street, (132, 131, 129), 0.0)
    p.cars(3, 0.12, street)
    drive = (np.abs(cells.a - np.float32(5)) < 1.6) & (street_side > 0)
    p.put(drive, PAVING, 0.0)
    half_a, half_b = cells.of(cells.random(5, 4.5, 6.6)), cells.of(cells.random(6, 4.0, 5.8))
    rim = np.minimum(half_a - np.abs(cells.a + 1), half_b - np.abs(cells.b))
    inside = rim > 0
    table = TILE_ROOFS if p.random(210) < 0.75 else BRIGHT_ROOFS
    p.put(inside, cells.of(colours(table, cells.hashes, 10, 0.07)), cells.of(cells.random(7, 6, 8.5)))
    hip = np.where(half_a - np.abs(cells.a + 1) < half_b - np.abs(cells.b), cells.a, cells.b)
    p.shade(inside & (hip > 0), 1.12)
    p.shade(inside & (hip <= 0), 0.86)


def paint_walkups(p: Patch) -> None:
    """Bright apartment houses of four or five floors on regular plots among dark trees."""
    p.fill((112, 109, 102), 0.12, 0.06)
    p.trees(6.8, p.random(209, 0.45, 0.85), 2)
    cells = p.cells(p.random(203, 22, 32), p.random(204, 21, 29), 1)
    half_a = cells.of(cells.random(5, 0.30, 0.38)) * np.float32(cells.size[0])
    half_b = cells.of(cells.random(6, 0.30, 0.38)) * np.float32(cells.size[1])
    notch = np.where((np.abs(cells.a) < 2.0) & (cells.of(cells.random(8)) < 0.6), np.float32(2.2), np.float32(0))
    a, b = cells.a - cells.of(cells.random(18, -1.3, 1.3)), cells.b - cells.of(cells.random(19, -1.3, 1.3))
    rim = np.minimum(half_a - np.abs(a), half_b - np.abs(b) - notch)
    inside = (rim > 0) & (cells.of(cells.random(7)) > 0.06)
    height = cells.random(9, 12, 20)
    _roof(p, cells, inside, rim, BRIGHT_ROOFS, height, 0.1)
    _boxes_on_roof(p, cells, inside, rim, height)


def paint_industry(p: Patch) -> None:
    """Sheet metal halls with ridges, concrete yards, containers."""
    p.fill(CONCRETE if p.random(201) < 0.6 else (148, 138, 122), 0.07, 0.04)
    p.cars(3, 0.2, p.rough > 0.4, (7.0, 3.4))
    cells = p.cells(p.random(203, 45, 110), p.random(204, 28, 55), 1)
    yard = p.random(205, 3.0, 8.0)
    half_a = cells.of(cells.random(5, 0.36, 0.48)) * np.float32(cells.size[0])
    half_b = np.float32(cells.size[1] / 2 - yard)
    rim = np.minimum(half_a - np.abs(cells.a), half_b - np.abs(cells.b))
    inside = (rim > 0) & (cells.of(cells.random(6)) > 0.12)
    colour = cells.of(colours(HALL_ROOFS, cells.hashes, 10, 0.07))
    p.put(inside, colour, cells.of(cells.random(7, 7, 12)))
    span = np.float32(1 / p.random(206, 10, 22))
    phase = (cells.b * span) % 1
    p.shade(inside & (phase < 0.5), 0.92)
    p.shade(inside & (np.abs(phase - np.float32(0.5)) < 0.03), 1.2)
    light = (
        inside & (np.abs((cells.a * np.float32(1 / 9.0)) % 1 - np.float32(0.5)) < 0.07) & (np.abs(phase - 0.25) < 0.13)
    )
    p.put(light, (222, 226, 226))


def paint_commerce(p: Patch) -> None:
    """Large flat halls and full car parks."""
    p.fill((118, 118, 118), 0.04, 0.03)
    cells = p.cells(p.random(203, 90, 150), p.random(204, 70, 120), 1)
    bays = (np.abs(cells.b) % 16) < 11
    p.cars(3, p.random(205, 0.45, 0.9), bays)
    rim = np.minimum(
        np.float32(cells.size[0] * 0.42) - np.abs(cells.a), np.float32(cells.size[1] * 0.33) - np.abs(cells.b)
    )
    inside = (rim > 0) & (cells.of(cells.random(6)) < 0.65)
    height = cells.random(7, 10, 26)
    _roof(p, cells, inside, rim, BRIGHT_ROOFS if p.random(206) < 0.5 else HALL_ROOFS, height, 0.05)
    vents = (np.abs(cells.a % 12 - 6) < 1.2) & (np.abs(cells.b % 15 - 7.5) < 1.6) & inside & (rim > 4)
    p.put(vents, (200, 200, 200), cells.of((height + 2).astype(np.float32)))


def paint_campus(p: Patch) -> None:
    """School or office compounds: courtyard buildings, a sports ground, lawns."""
    _green_ground(p, 0.5)
    p.trees(7.0, 0.4, 2)
    cells = p.cells(p.random(203, 80, 110), p.random(204, 80, 110), 1)
    kind = cells.of(cells.random(5))
    x, y = np.abs(cells.a), np.abs(cells.b)
    straight = np.maximum(x - np.float32(18), 0)
    r = np.sqrt(straight * straight + y * y)
    track, pitch = (r < 31) & (kind < 0.3), (r < 23) & (kind < 0.3)
    p.put(track, (150, 88, 76), 0.0)
    p.put(pitch, (74, 112, 78), 0.0)
    half_a, half_b = np.float32(cells.size[0] / 2 - 12), np.float32(cells.size[1] / 2 - 12)
    outer = np.minimum(half_a - x, half_b - y)
    rim = np.minimum(outer, np.float32(13) - outer)
    open_side = (cells.b > 0) & (x < half_a - 13)
    inside = (rim > 0) & (kind >= 0.3) & ~(open_side & (kind > 0.65))
    _roof(p, cells, inside, rim, BRIGHT_ROOFS if p.random(206) < 0.6 else FLAT_ROOFS, cells.random(7, 11, 21), 0.06)


PAINTERS: dict[Use, Callable[[Patch], None]] = {
    Use.PERIMETER: paint_perimeter,
    Use.SLABS: paint_slabs,
    Use.TOWERS: paint_towers,
    Use.VILLAS: paint_villas,
    Use.WALKUPS: paint_walkups,
    Use.INDUSTRY: paint_industry,
    Use.COMMERCE: paint_commerce,
    Use.PARK: paint_park,
    Use.FIELDS: paint_fields,
    Use.BARE: paint_bare,
    Use.CAMPUS: paint_campus,
}
