"""From layout to pixels: any window of the city, the same pixels whatever the window."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from uvsam.raster.window import Window
from uvsam.simulate.fabric import HouseLook, furnish, paint_around, paint_fringe, paint_houses
from uvsam.simulate.formal import PAINTERS
from uvsam.simulate.frame import Frame
from uvsam.simulate.hashing import Floats, derive
from uvsam.simulate.lattice import Doubles, Lattice
from uvsam.simulate.layout import Ground, LineKind, Use, build_ground
from uvsam.simulate.looks import Look, Textures, make_look, make_textures
from uvsam.simulate.patch import Patch
from uvsam.simulate.sensor import expose, reach_px, shadows_and_walls
from uvsam.simulate.streets import paint_line, paint_streets
from uvsam.simulate.villages import VILLAGES_PER_KM2, Houses, Site, alleys, bend, build_houses, level, place_sites


@dataclass(frozen=True, eq=False)
class City:
    """Everything needed to draw any window of any period.

    Attributes:
        years: the periods. looks: one per period.
    """

    ground: Ground
    sites: tuple[Site, ...]
    years: tuple[int, ...]
    looks: tuple[Look, ...]
    textures: Textures


def build_city(size_m: float, years: tuple[int, ...], seed: int, villages_per_km2: float = VILLAGES_PER_KM2) -> City:
    """Lay out a city; no pixels yet."""
    ground = build_ground(size_m, len(years), seed)
    looks = tuple(make_look(year, index, seed) for index, year in enumerate(years))
    return City(ground, place_sites(ground, villages_per_km2), years, looks, make_textures(seed))


@dataclass(frozen=True, eq=False)
class Quarter:
    """A site made ready for drawing: its bent frame, its houses and alleys,
    the outline in each period and the largest over all of them."""

    s: Lattice
    t: Lattice
    houses: Houses
    look: HouseLook
    alleys: Lattice
    levels: tuple[Lattice, ...]
    envelope: Lattice


@lru_cache(maxsize=24)
def quarter(city: City, index: int) -> Quarter:
    """The ``index``-th site of a city, ready for drawing; kept for the windows that follow."""
    site = city.sites[index]
    houses = build_houses(city.ground, site)
    levels = tuple(level(city.ground, site, state) for state in site.states)
    lowest = np.minimum.reduce([each.values for each in levels])
    s, t = bend(site)
    envelope = Lattice(levels[0].x0, levels[0].y0, levels[0].step, lowest)
    return Quarter(s, t, houses, furnish(site, houses), alleys(site), levels, envelope)


@dataclass(frozen=True, eq=False)
class Surface:
    """What is painted on the ground: rgb (3, H, W) float32 as seen without atmosphere, height (H, W) metres."""

    rgb: Floats
    height: Floats


def draw_window(city: City, frame: Frame, period: int, window: Window) -> NDArray[np.uint8]:
    """The image of a window, which may be any part of the frame.

    Returns:
        (3, H, W) uint8. A pixel's value depends on the city, the frame, the period and its own position only.
    """
    look = city.looks[period]
    near, far = reach_px(look, frame.gsd_m)
    wide = Window(window.row - near[0], window.col - near[1], window.height + near[0] + far[0],
                  window.width + near[1] + far[1])  # fmt: skip
    surface = paint_surface(city, frame, period, wide)
    xs, ys = frame.centres(wide)
    shadows_and_walls(surface.rgb, surface.height, look, frame.gsd_m)
    tone = city.ground.tone.on_grid(xs, ys)
    inner = Window(near[0], near[1], window.height, window.width)
    return expose(surface.rgb, tone, city.textures.noise, look, frame.gsd_m, inner, window)


def paint_surface(city: City, frame: Frame, period: int, window: Window) -> Surface:
    """Blocks and streets, then water and lines, then villages."""
    ground, look = city.ground, city.looks[period]
    xs, ys = frame.centres(window)
    canvas = _Canvas(city, frame, window, xs, ys)
    u, v = ground.u.on_grid(xs, ys), ground.v.on_grid(xs, ys)
    box = ground.blocks.box
    hit = (box[:, 0] < xs[-1]) & (box[:, 2] > xs[0]) & (box[:, 1] < ys[-1]) & (box[:, 3] > ys[0])
    arterials = np.zeros(window.shape, bool)
    for n in np.flatnonzero(hit):
        _paint_block(canvas, u, v, arterials, int(n), period, look)
    _paint_lines(canvas, arterials, look)
    for index, site in enumerate(city.sites):
        if site.box[0] < xs[-1] and site.box[2] > xs[0] and site.box[1] < ys[-1] and site.box[3] > ys[0]:
            _paint_site(canvas, city, index, period, look)
    return Surface(canvas.rgb, canvas.height)


class _Canvas:
    """The arrays being painted, and their textures."""

    def __init__(self, city: City, frame: Frame, window: Window, xs: Doubles, ys: Doubles) -> None:
        self.frame, self.window, self.xs, self.ys = frame, window, xs, ys
        self.ground = city.ground
        self.rgb = np.full((3, *window.shape), 108, np.float32)
        self.height = np.zeros(window.shape, np.float32)
        cols, rows = np.floor(xs).astype(np.intp), np.floor(ys).astype(np.intp)
        self.fine = Textures.pick(city.textures.fine, rows, cols)
        self.rough = Textures.pick(city.textures.rough, rows, cols)

    def part(self, box: tuple[float, ...]) -> tuple[slice, slice]:
        """Slices of the window that cover a box in metres."""
        part = self.frame.window(*box).intersection(self.window)
        return Window(part.row - self.window.row, part.col - self.window.col, part.height, part.width).slices

    def store(self, part: tuple[slice, slice], mask: NDArray[np.bool_], rgb: Floats, height: Floats) -> None:
        for band in range(3):
            self.rgb[band][part][mask] = rgb[band]
        self.height[part][mask] = height


def _paint_block(
    canvas: _Canvas, u: Floats, v: Floats, arterials: NDArray[np.bool_], n: int, period: int, look: Look
) -> None:
    blocks = canvas.ground.blocks
    part = canvas.part(tuple(blocks.box[n]))
    bu, bv, rect, half = u[part], v[part], blocks.rect[n], blocks.half[n]
    inner = rect + half * np.array([1, 1, -1, -1], np.float32)
    inside = (bu >= inner[0]) & (bu < inner[2]) & (bv >= inner[1]) & (bv < inner[3])
    street = (bu >= rect[0]) & (bu < rect[2]) & (bv >= rect[1]) & (bv < rect[3]) & ~inside
    fine, rough = canvas.fine[part], canvas.rough[part]
    if street.any():
        su, sv = bu[street], bv[street]
        rgb, height = paint_streets(su, sv, fine[street], rect, half, look, int(blocks.key[n]))
        canvas.store(part, street, rgb, height)
        if half.max() > 16:
            depth = np.array([16.0 if h > 16 else -1.0 for h in half], np.float32)
            arterials[part][street] = (
                (su - rect[0] < depth[0])
                | (sv - rect[1] < depth[1])
                | (rect[2] - su < depth[2])
                | (rect[3] - sv < depth[3])
            )
    if inside.any():
        patch = _patch(bu[inside] - inner[0], bv[inside] - inner[1], float(inner[2] - inner[0]),
                       float(inner[3] - inner[1]), fine[inside], rough[inside], look, int(blocks.key[n]))  # fmt: skip
        PAINTERS[Use(int(blocks.use[n, period]))](patch)
        canvas.store(part, inside, patch.rgb, patch.height)


def _patch(
    u: Floats, v: Floats, width: float, depth: float, fine: Floats, rough: Floats, look: Look, key: int
) -> Patch:
    return Patch(u, v, width, depth, fine, rough, look, key, np.zeros((3, len(u)), np.float32), np.zeros_like(u))


def _paint_lines(canvas: _Canvas, arterials: NDArray[np.bool_], look: Look) -> None:
    for n, line in enumerate(canvas.ground.lines):
        low, high = line.across.bounds(canvas.xs[0], canvas.ys[0], canvas.xs[-1], canvas.ys[-1])
        if low > line.half_width + 18 or (line.kind != LineKind.LAKE and high < -line.half_width - 18):
            continue
        across = line.across.on_grid(canvas.xs, canvas.ys)
        edge = line.edge(across)
        mask = edge < 18
        if line.kind != LineKind.HIGHWAY:
            mask &= ~arterials
        if not mask.any():
            continue
        along = line.along.on_grid(canvas.xs, canvas.ys)
        rgb, height, painted = paint_line(
            line.kind, edge[mask], across[mask], along[mask], canvas.fine[mask], canvas.rough[mask], look,
            derive(canvas.ground.seed, 700, n),
        )  # fmt: skip
        mask[mask] = painted
        canvas.store((slice(None), slice(None)), mask, rgb[:, painted], height[painted])


def _paint_site(canvas: _Canvas, city: City, index: int, period: int, look: Look) -> None:
    site = city.sites[index]
    part = canvas.part(site.box)
    if canvas.height[part].size == 0:
        return
    ready = quarter(city, index)
    xs, ys = canvas.xs[part[1]], canvas.ys[part[0]]
    s, t = ready.s.on_grid(xs, ys), ready.t.on_grid(xs, ys)
    near = ready.envelope.at(s, t)
    mask = near < 16
    if not mask.any():
        return
    s, t, near = s[mask], t[mask], near[mask]
    fine, rough = canvas.fine[part][mask], canvas.rough[part][mask]
    plot = ready.houses.plot(s, t)
    village = ready.houses.member[period][plot] > 0
    edge = ready.levels[period].at(s, t)
    for painter, land in (("fringe", ~village & (edge < 7)), ("around", ~village & (edge >= 7) & (near < 4))):
        if not land.any():
            continue
        if painter == "fringe":
            rgb, height = paint_fringe(fine[land], rough[land], look)
        else:
            e = np.float32(site.extent)
            patch = _patch(s[land] + e, t[land] + e, 2 * site.extent, 2 * site.extent, fine[land], rough[land], look,
                           derive(site.key, 60))  # fmt: skip
            paint_around(patch, site, period)
            rgb, height = patch.rgb, patch.height
        where = mask.copy()
        where[mask] = land
        canvas.store(part, where, rgb, height)
    s, t = s[village], t[village]
    rgb, height = paint_houses(s, t, plot[village], np.abs(ready.alleys.at(s, t)), fine[village], rough[village],
                               ready.houses, ready.look, look)  # fmt: skip
    mask[mask] = village
    canvas.store(part, mask, rgb, height)


def parts_in_window(city: City, frame: Frame, period: int, index: int, window: Window) -> NDArray[np.uint8]:
    """Which part (0 none, 1, 2) of the ``index``-th site covers each pixel of a window, (H, W)."""
    ready = quarter(city, index)
    xs, ys = frame.centres(window)
    s, t = ready.s.on_grid(xs, ys), ready.t.on_grid(xs, ys)
    near = ready.envelope.at(s, t) < 16
    parts = np.zeros(window.shape, np.uint8)
    parts[near] = ready.houses.member[period][ready.houses.plot(s[near], t[near])]
    return parts
