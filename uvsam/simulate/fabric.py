"""The painter of villages: roofs wall to wall, lanes, yards; and of the land that was or will be village."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvsam.simulate.formal import paint_towers, paint_walkups
from uvsam.simulate.hashing import Floats, derive, draw, unit
from uvsam.simulate.looks import Look
from uvsam.simulate.open_land import paint_bare, paint_fields
from uvsam.simulate.patch import Patch, colours, palette
from uvsam.simulate.villages import Houses, Site

# Roofs: grey and mauve sheets with rust and tarpaulins; concrete and blue sheet around yards; tiles.
_ROOFS = (
    palette(
        (56, 148, 140, 142), (20, 138, 129, 126), (12, 160, 153, 152), (3, 148, 120, 104), (3.5, 232, 232, 232),
        (4, 158, 172, 192), (4, 112, 105, 104), (1, 164, 112, 92), (0.6, 96, 126, 180),
    ),
    palette(
        (44, 124, 129, 128), (18, 140, 144, 140), (13, 144, 162, 170), (5, 98, 126, 180), (4, 154, 108, 94),
        (8, 182, 177, 158), (8, 92, 97, 98), (1.5, 222, 224, 224),
    ),
    palette(
        (26, 150, 112, 94), (18, 132, 98, 84), (24, 138, 130, 124), (12, 168, 138, 116), (6, 116, 92, 82),
        (6, 206, 202, 196), (5, 128, 150, 170), (3, 96, 92, 90),
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class HouseLook:
    """Per-plot tables for painting a site: roof colours (3, n), heights (n,), open yards (n,), ridge direction (n,)."""

    colour: Floats
    height: Floats
    ridge: Floats
    tree: NDArray[np.bool_]


def furnish(site: Site, houses: Houses) -> HouseLook:
    """Roofs of a site's houses, the same in every period."""
    key = houses.key
    spread = (0.075, 0.16, 0.12)[site.style]
    colour = colours(_ROOFS[site.style], key, 10, spread) * np.float32(draw(site.key, 50, 0.92, 1.1))
    size = np.minimum(houses.rect[2] - houses.rect[0], houses.rect[3] - houses.rect[1])
    low, high = ((2.4, 4.0), (2.8, 11.0), (2.8, 6.0))[site.style]
    height = low + (high - low) * unit(key, 11) ** np.float32(2.0)
    yard = unit(key, 12) < (0.03, 0.2, 0.06)[site.style]
    height = np.where(yard | (size < 1.4), np.float32(0), height).astype(np.float32)
    colour = np.where(height > 0, colour, np.array([[112.0], [103.0], [94.0]], np.float32))
    ridge = np.where(unit(key, 13) < (0.3, 0.35, 0.6)[site.style], unit(key, 14) - np.float32(0.5), np.float32(0))
    tree = yard & (unit(key, 15) < 0.35)
    return HouseLook(colour.astype(np.float32), height, ridge.astype(np.float32), tree)


def paint_houses(
    s: Floats, t: Floats, plot: NDArray[np.intp], alley: Floats, fine: Floats, rough: Floats, houses: Houses,
    table: HouseLook, look: Look,
) -> tuple[Floats, Floats]:  # fmt: skip
    """(rgb (3, n), height (n,)) of village pixels; ``alley`` is metres from the middle of the nearest alley."""
    rect = houses.rect
    ds0, ds1 = s - rect[0][plot], rect[2][plot] - s
    dt0, dt1 = t - rect[1][plot], rect[3][plot] - t
    rim = np.minimum(np.minimum(ds0, ds1), np.minimum(dt0, dt1))
    np.minimum(rim, alley - np.float32(1.5), out=rim)
    roof = rim > 0
    ridge = table.ridge[plot]
    slope = np.where(np.abs(ridge) < 0.25, ds0 - ds1, dt0 - dt1)
    wear = 1 + np.float32(0.045) * fine + np.float32(0.05) * rough
    wear += np.where(slope > 0, np.float32(0.16), np.float32(-0.16)) * ridge
    wear *= np.where(rim < 0.3, np.float32(0.72), np.float32(1.0))
    wear *= np.where(fine > 2.1, np.float32(1.25), np.where(fine < -2.0, np.float32(0.74), np.float32(1.0)))
    rgb = np.where(roof, table.colour[:, plot] * wear, rough_ground(fine, rough))
    height = np.where(roof, table.height[plot], _ZERO)
    across, down = (ds0 - ds1) * np.float32(0.5), (dt0 - dt1) * np.float32(0.5)
    crown = (table.tree[plot] & (across * across + down * down < 8 + 2 * fine)) | (rough > 2.2)
    rgb = np.where(crown, _leaves(look, fine), rgb)
    return rgb, np.where(crown, np.float32(5), height)


def rough_ground(fine: Floats, rough: Floats) -> Floats:
    """Trodden earth and paving with things lying about, (3, n)."""
    shade = 1 + np.float32(0.1) * fine + np.float32(0.05) * rough
    shade = np.where(fine > 1.7, np.float32(1.6), shade)
    return np.stack([shade * np.float32(c) for c in (104, 96, 89)])


def _leaves(look: Look, fine: Floats) -> Floats:
    light = 1 + np.float32(0.15) * fine
    return np.stack([light * np.float32(c) for c in look.tree])


def paint_fringe(fine: Floats, rough: Floats, look: Look) -> tuple[Floats, Floats]:
    """(rgb (3, n), height (n,)) of the strip between the last houses and the city: earth, rubbish, bushes."""
    rgb = rough_ground(fine, rough) * np.array([[1.28], [1.26], [1.22]], np.float32)
    bush = rough > 0.9
    return np.where(bush, _leaves(look, fine), rgb), np.where(bush, np.float32(3), _ZERO)


_ZERO = np.float32(0)


def paint_around(patch: Patch, site: Site, period: int) -> None:
    """Land of a site that is not village now: fields before it was, a cleared site and then housing after."""
    states = site.states
    was = [s.parts > 0 for s in states]
    cleared = [k for k in range(1, len(states)) if states[k].cut > states[k - 1].cut or (was[k - 1] and not was[k])
               or states[k].parts == 2 > states[k - 1].parts > 0]  # fmt: skip
    past = [k for k in cleared if k <= period]
    if not past:
        (paint_fields if derive(site.key, 51) % 3 else paint_bare)(patch)
    elif period - past[0] < 1:
        paint_bare(patch)
    else:
        (paint_towers if derive(site.key, 52) % 2 else paint_walkups)(patch)
