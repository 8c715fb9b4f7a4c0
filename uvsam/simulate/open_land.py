"""Painters of unbuilt land: parks, fields, building sites."""

import numpy as np

from uvsam.simulate.patch import Patch, colours, palette

SOIL = (158.0, 138.0, 112.0)


def paint_park(p: Patch) -> None:
    """Lawns, groves, paths and sometimes a pond."""
    p.fill(p.look.grass, 0.11, 0.06)
    ring = np.abs(p.edge() - np.float32(p.random(201, 12, 25)))
    winding = np.abs(p.rough * 9 + p.u * np.float32(0.35) - p.v * np.float32(0.2) - np.float32(p.random(202, -20, 40)))
    p.put((ring < 1.6) | (winding < 1.2), (176, 168, 152))
    pu, pv = p.random(203, 0.3, 0.7) * p.width, p.random(204, 0.3, 0.7) * p.depth
    du, dv = (p.u - np.float32(pu)) / np.float32(p.width * 0.2), (p.v - np.float32(pv)) / np.float32(p.depth * 0.2)
    pond = (du * du + dv * dv + np.float32(0.12) * p.rough < 1) & (p.random(205) < 0.5)
    p.put(pond, p.look.water)
    grove = p.rough > np.float32(p.random(206, -1.2, 0.3))
    p.trees(7.5, 0.85, 2, grove & ~pond)
    p.trees(6.0, 0.7, 3, grove & ~pond)


_CROPS = palette((3, 96, 122, 66), (2, 78, 108, 56), (2, 128, 132, 84), (1, 110, 118, 82))
_BARE = palette((3, 162, 142, 112), (2, 140, 120, 94), (2, 176, 160, 128), (1, 124, 108, 88))


def paint_fields(p: Patch) -> None:
    """Parcels with rows, tracks between them; sometimes greenhouses or an orchard."""
    cells = p.cells(p.random(201, 45, 120), p.random(202, 25, 70), 1)
    harvested = cells.random(5) < 0.15 + 0.7 * p.look.ripe
    colour = np.where(harvested, colours(_BARE, cells.hashes, 6, 0.06), colours(_CROPS, cells.hashes, 7, 0.08))
    row = (cells.b * np.float32(1 / p.random(203, 1.6, 4.0))) % 1
    shade = 1 + np.float32(0.05) * p.rough + np.where(row < 0.5, np.float32(0.035), np.float32(-0.035))
    p.put(np.ones(p.u.shape, bool), cells.of(colour.astype(np.float32)) * shade)
    kind = p.random(204)
    if kind < 0.16:
        house = ((cells.b * np.float32(1 / 9.0)) % 1 < 0.72) & (np.abs(cells.a) < np.float32(cells.size[0] / 2 - 3))
        tone = 1 + np.float32(0.04) * p.fine
        p.put(house, np.stack([tone * 188, tone * 192, tone * 190]), 2.5)
    elif kind < 0.34:
        p.trees(5.0, 0.95, 2, cells.of(cells.random(8)) < 0.7, 0.4)
    border = np.minimum(
        np.float32(cells.size[0] / 2) - np.abs(cells.a), np.float32(cells.size[1] / 2) - np.abs(cells.b)
    )
    p.put((border < 1.2) & (cells.of(cells.random(9)) < 0.5), (168, 152, 126))
    p.trees(7.0, 0.3, 4, border < 4)


def paint_bare(p: Patch) -> None:
    """A building site: soil with tracks, heaps, a pit, site huts."""
    brown = p.random(201)
    p.fill((SOIL[0] + 18 * brown, SOIL[1] + 14 * brown, SOIL[2] + 10 * brown), 0.085, 0.04)
    track = np.abs(
        p.rough * 6 + p.u * np.float32(p.random(202, -0.4, 0.4)) + (p.v - np.float32(p.depth / 2)) * np.float32(0.5)
    )
    p.put(track < 1.6, (186, 170, 146))
    weeds = p.rough < np.float32(p.random(203, -2.6, -0.9))
    grass = p.look.grass
    p.put(weeds, np.stack([(1 + np.float32(0.1) * p.fine) * np.float32(c) for c in grass]))
    cells = p.cells(60.0, 60.0, 1)
    pit = (np.maximum(np.abs(cells.a), np.abs(cells.b)) < 21) & (cells.of(cells.random(5)) < 0.25)
    p.shade(pit, 0.78)
    grid = ((cells.a % 6 < 0.8) | (cells.b % 6 < 0.8)) & pit
    p.put(grid, (172, 168, 160))
    net = (np.abs(cells.a) < 24) & (np.abs(cells.b) < 14) & (cells.of(cells.random(6)) < 0.14)
    p.put(net, np.stack([(1 + np.float32(0.07) * p.fine) * np.float32(c) for c in (112, 150, 128)]))
    hut = (p.edge() > 3) & (p.edge() < 9) & (p.u % 24 < 18) & (p.v < 16) & (p.random(204) < 0.6)
    p.put(hut, (104, 140, 196), 4.0)
