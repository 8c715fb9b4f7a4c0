"""Villages: where they lie, how they change, and the houses they are made of.

A village is a set of whole houses. Houses tile a bent frame (s, t) around the village's centre, and a house belongs
to the village in a period when the *level* at its centre is negative. Pictures and truth read the same house table.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uvsam.simulate.hashing import Floats, UInts, cell_hash, derive, draw, unit
from uvsam.simulate.lattice import Doubles, Lattice, noise
from uvsam.simulate.layout import Ground, arterial

MIN_AREA_M2, MAX_AREA_M2 = 3000.0, 400000.0
LEVEL_STEP_M = 5.0
CLEAR_M = 5.0
VILLAGES_PER_KM2 = 5.5


@dataclass(frozen=True)
class State:
    """A village site in one period.

    Attributes:
        parts: 0 nothing stands, 1 one village, 2 two villages with a gap between them.
        growth: 0 to 1, how far it has spread to one side.
        cut: 0 to 2, how much was cleared from one side.
        turned: of two villages, the first, which is the larger one, lies on the near side of the gap.
    """

    parts: int = 1
    growth: float = 0.0
    cut: int = 0
    turned: bool = False


@dataclass(frozen=True)
class Site:
    """A place with a village in at least one period; sizes in metres, angles in radians."""

    index: int
    key: int
    x: float
    y: float
    radius: float
    angle: float
    style: int
    cell: tuple[float, float, float, float]
    states: tuple[State, ...] = ()
    events: tuple[str, ...] = ()

    @property
    def extent(self) -> float:
        """Half width of the square of the bent frame that contains the village in every period."""
        return 1.95 * self.radius + 45

    @property
    def reach(self) -> float:
        """Half width in metres of the square on the ground that contains it."""
        return 1.8 * self.radius + 40

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - self.reach, self.y - self.reach, self.x + self.reach, self.y + self.reach


def bend(site: Site) -> tuple[Lattice, Lattice]:
    """The bent frame (s, t) of a site as lattices over the ground."""
    x, y = Lattice.nodes(-site.reach - 16, site.reach + 16, 8.0)
    cos, sin = np.cos(site.angle), np.sin(site.angle)
    amount = (1.2, 0.4, 0.9)[site.style]
    ws = 17 * noise(x, y, 170, derive(site.key, 1)) + 4.5 * noise(x, y, 55, derive(site.key, 2))
    wt = 17 * noise(x, y, 170, derive(site.key, 3)) + 4.5 * noise(x, y, 55, derive(site.key, 4))
    low = -site.reach - 16
    s = (cos * x + sin * y + amount * ws).astype(np.float32)
    t = (-sin * x + cos * y + amount * wt).astype(np.float32)
    return Lattice(site.x + low, site.y + low, 8.0, s), Lattice(site.x + low, site.y + low, 8.0, t)


def _outline(site: Site, s: Doubles, t: Doubles, growth: float) -> Doubles:
    """Metres outside the free-standing outline (negative inside)."""
    key = derive(site.key, 5)
    aspect, square = np.exp(draw(key, 0, -0.42, 0.42)), draw(key, 1, 1.8, 4.5)
    a, b = s / aspect, t * aspect
    r, theta = (np.abs(a) ** square + np.abs(b) ** square) ** (1 / square), np.arctan2(b, a)
    shape = np.ones_like(r)
    for k in range(2, 8):
        shape += draw(key, 2 * k, 0, 0.42) / k * np.cos(k * theta + draw(key, 2 * k + 1, 0, 2 * np.pi))
    toward = np.maximum(np.cos(theta - draw(key, 30, 0, 2 * np.pi)), -0.2) + 0.2
    rough = 0.09 * noise(s, t, 0.5 * site.radius + 10, derive(key, 31)) + 0.04 * noise(s, t, 22, derive(key, 32))
    outside: Doubles = r - site.radius * 0.8 * (shape * (1 + 0.36 * growth * toward) + rough)
    return outside


def _divider(site: Site) -> tuple[float, float, float, float]:
    """(normal s, normal t, offset, half width) of the strip that splits a village."""
    key = derive(site.key, 6)
    angle = draw(key, 0, 0, np.pi)
    offset = -draw(key, 1, 0.12, 0.3) * site.radius
    return float(np.cos(angle)), float(np.sin(angle)), offset, draw(key, 2, 9, 12 + 0.08 * site.radius)


def level(ground: Ground, site: Site, state: State) -> Lattice:
    """Metres outside the village in one period, over its bent frame; clear of arterials, lines, water."""
    s, t = Lattice.nodes(-site.extent, site.extent, LEVEL_STEP_M)
    if not state.parts:
        return Lattice(-site.extent, -site.extent, LEVEL_STEP_M, np.full(s.shape, 999, np.float32))
    f = np.maximum(_outline(site, s, t, state.growth), _blocked(ground, site))
    if state.cut:
        angle = draw(derive(site.key, 7), 0, 0, 2 * np.pi)
        f = np.maximum(f, s * np.cos(angle) + t * np.sin(angle) - site.radius * (0.75 - 0.4 * state.cut))
    if state.parts == 2:
        ns, nt, offset, half = _divider(site)
        f = np.maximum(f, half - np.abs(ns * s + nt * t - offset))
    return Lattice(-site.extent, -site.extent, LEVEL_STEP_M, f.astype(np.float32))


@lru_cache(maxsize=32)
def _blocked(ground: Ground, site: Site) -> Doubles:
    """Metres past the nearest thing a village does not cross, over the nodes of its level."""
    s, t = Lattice.nodes(-site.extent, site.extent, LEVEL_STEP_M)
    bs, bt = bend(site)
    cos, sin = np.cos(site.angle), np.sin(site.angle)
    x, y = site.x + cos * s - sin * t, site.y + sin * s + cos * t
    for _ in range(4):
        ds, dt = s - bs.at(x, y), t - bt.at(x, y)
        x, y = x + cos * ds - sin * dt, y + sin * ds + cos * dt
    u, v = ground.u.at(x, y), ground.v.at(x, y)
    u0, v0, u1, v1 = site.cell
    past: Doubles = np.maximum.reduce([u0 - u, u - u1, v0 - v, v - v1]).astype(np.float64)
    for line in ground.lines:
        across = line.across.at(x, y)
        side = np.sign(line.across.at(site.x, site.y))
        past = np.maximum(past, line.half_width + 2 * CLEAR_M - across * side)
    return past


def alleys(site: Site) -> Lattice:
    """Winding ways wide enough for a cart, over the bent frame: about metres from their middle, signed."""
    s, t = Lattice.nodes(-site.extent, site.extent, 8.0)
    winding = 75 * noise(s, t, 150, derive(site.key, 45)) + 9 * noise(s, t, 45, derive(site.key, 46))
    slope = np.maximum(np.hypot(*np.gradient(winding, 8.0)), 0.3)
    return Lattice(-site.extent, -site.extent, 8.0, (winding / slope).astype(np.float32))


def second_part(site: Site, state: State, s: Floats, t: Floats) -> NDArray[np.bool_]:
    """True at points of the second of two villages."""
    if state.parts < 2:
        return np.zeros(np.broadcast_shapes(s.shape, t.shape), bool)
    ns, nt, offset, _ = _divider(site)
    near = s * np.float32(ns) + t * np.float32(nt) < np.float32(offset)
    return ~near if state.turned else near


def part_areas(ground: Ground, site: Site, state: State) -> list[float] | None:
    """Area in m2 of each part of a state, or None where a part is in pieces or has an impossible size."""
    if not state.parts:
        return []
    inside = level(ground, site, state).values < 0
    s, t = Lattice.nodes(-site.extent, site.extent, LEVEL_STEP_M)
    if inside.any() and np.hypot(s, t)[inside].max() > site.reach - 20:
        return None
    second = second_part(site, state, s.astype(np.float32), t.astype(np.float32))
    masks = [inside & ~second, inside & second][: state.parts]
    areas = []
    for mask in masks:
        count = ndimage.label(mask)[1]
        area = float(mask.sum()) * LEVEL_STEP_M**2
        if count != 1 or not 1.1 * MIN_AREA_M2 < area < 0.95 * MAX_AREA_M2:
            return None
        areas.append(area)
    return areas


_WISHES = ("split", "merged", "grown", "shrunk", "new", "demolished", "stable")


def _next(ground: Ground, site: Site, state: State, wish: str) -> tuple[State, str]:
    """The state after ``wish``, or the same state and "stable" where the wish is not possible here."""
    after = _wished(ground, site, state, wish)
    if after == state:
        return state, "stable"
    before_areas, areas = part_areas(ground, site, state), part_areas(ground, site, after)
    if before_areas is None or areas is None:
        return state, "stable"
    ratio = sum(areas) / max(sum(before_areas), 1.0)
    if (wish == "grown" and ratio < 1.1) or (wish == "shrunk" and ratio > 0.9):
        return state, "stable"
    return after, wish


def _wished(ground: Ground, site: Site, state: State, wish: str) -> State:
    match wish, state.parts:
        case "grown", 1:
            return replace(state, growth=min(1.0, state.growth + 0.5))
        case "shrunk", 1:
            return replace(state, cut=min(2, state.cut + 1))
        case "split", 1:
            return _divided(ground, site, state)
        case ("merged", 2) | ("new", 0):
            return replace(state, parts=1, turned=False)
        case "demolished", 1 | 2:
            return replace(state, parts=0, turned=False)
    return state


def _divided(ground: Ground, site: Site, state: State) -> State:
    """Two villages where there was one, the larger one first."""
    after = replace(state, parts=2)
    areas = part_areas(ground, site, after)
    return replace(after, turned=areas is not None and areas[0] < areas[1])


def _with_history(ground: Ground, site: Site, wish: str) -> Site | None:
    """The site with states and events, ``wish`` among them where possible; None where no village can stand."""
    start = {"merged": _divided(ground, site, State()), "new": State(parts=0)}.get(wish, State())
    if part_areas(ground, site, State()) is None:
        return None
    if start.parts == 2 and part_areas(ground, site, start) is None:
        start = State()
    states, events = [start], ["first" if start.parts else "none"]
    change_at = 1 + derive(site.key, 8) % max(1, ground.periods - 1)
    for period in range(1, ground.periods):
        if period == change_at:
            now = wish
        elif states[-1].parts == 0:
            now = "none"
        else:
            now = ("stable", "stable", "stable", "grown", "shrunk", "demolished", "split")[
                derive(site.key, 9, period) % 7
            ]
        state, event = _next(ground, site, states[-1], now)
        states.append(state)
        events.append("none" if state.parts == 0 and event == "stable" else event)
    return replace(site, states=tuple(states), events=tuple(events))


def place_sites(ground: Ground, per_km2: float = VILLAGES_PER_KM2) -> tuple[Site, ...]:
    """Villages thrown at random places, large ones first, none close to another; at least five are tried."""
    size, seed = ground.size_m, ground.seed
    count = max(5, int((size / 1000) ** 2 * per_km2))
    largest = min(330.0, size / 4.5)
    sizes = sorted((min(largest, 42 * np.exp(draw(seed, 1000 + n) ** 1.6 * 2.1)) for n in range(count)), reverse=True)
    k = np.arange(-80, 120)
    edges = [arterial(k, axis, seed) for axis in (0, 1)]
    sites: list[Site] = []
    owed: list[str] = []
    for n, radius in enumerate(sizes):
        for attempt in range(24):
            key = derive(seed, 2000, n, attempt)
            shrink = radius * 0.96**attempt
            rim = min(0.9 * shrink, size / 3)
            x, y = draw(key, 0, rim, size - rim), draw(key, 1, rim, size - rim)
            if any(max(abs(x - o.x), abs(y - o.y)) < 1.3 * (shrink + o.radius) + 25 for o in sites):
                continue
            cell = _super_cell(ground, x, y, edges)
            angle = draw(key, 2, 0, np.pi)
            site = Site(len(sites), key, x, y, shrink, angle, (0, 0, 0, 1, 1, 1, 2)[derive(key, 3) % 7], cell)
            if _outside(ground, site):
                continue
            complete = _fulfil(ground, site, owed)
            if complete is not None:
                sites.append(complete)
                break
    _blocked.cache_clear()
    return tuple(sites)


def _fulfil(ground: Ground, site: Site, owed: list[str]) -> Site | None:
    """The site with the first of the ``owed`` events that can happen there, which is then owed no more."""
    if not owed:
        owed.extend(_WISHES)
    for wish in owed:
        complete = _with_history(ground, site, wish)
        if complete is None:
            return None
        if wish in complete.events:
            owed.remove(wish)
            return complete
    return complete


def _outside(ground: Ground, site: Site) -> bool:
    """True where the centre itself is on a line or on an arterial."""
    near = any(float(line.edge(line.across.at(site.x, site.y))) < 25 for line in ground.lines)
    u, v = float(ground.u.at(site.x, site.y)), float(ground.v.at(site.x, site.y))
    u0, v0, u1, v1 = site.cell
    return near or min(u - u0, u1 - u, v - v0, v1 - v) < 0.45 * site.radius


def _super_cell(
    ground: Ground, x: float, y: float, edges: list[tuple[Doubles, Doubles]]
) -> tuple[float, float, float, float]:
    """The inside of the arterial roads around a place, in the street grid."""
    bounds = []
    for value, (at, half) in zip((float(ground.u.at(x, y)), float(ground.v.at(x, y))), edges, strict=True):
        k = int(np.searchsorted(at, value)) - 1
        bounds.append((at[k] + half[k] + CLEAR_M, at[k + 1] - half[k + 1] - CLEAR_M))
    return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]


@dataclass(frozen=True, eq=False)
class Houses:
    """All house plots of a site's bent frame, as a two-level lookup.

    Attributes:
        pitch: (s, t) size of the top cells. shift: (rows,) offset of each row of cells in s.
        split_s, split_t: per level, the position at which a node divides (inf where it does not).
        rect: (4, n) s0, t0, s1, t1 of the roof on each plot.
        member: (periods, n) 0 not village, 1 first part, 2 second part.
        key: (n,) hash.
    """

    origin: float
    pitch: tuple[float, float]
    shape: tuple[int, int]
    shift: Floats
    split_s: tuple[Floats, ...]
    split_t: tuple[Floats, ...]
    rect: Floats
    member: NDArray[np.uint8]
    key: UInts

    def plot(self, s: Floats, t: Floats) -> NDArray[np.intp]:
        """Index of the plot at each point."""
        row = np.clip(((t - np.float32(self.origin)) / np.float32(self.pitch[1])).astype(np.intp), 0, self.shape[0] - 1)
        col = ((s - np.float32(self.origin) + self.shift[row]) / np.float32(self.pitch[0])).astype(np.intp)
        node = row * self.shape[1] + np.clip(col, 0, self.shape[1] - 1)
        for split_s, split_t in zip(self.split_s, self.split_t, strict=True):
            second = (s > split_s[node]) | (t > split_t[node])
            node = node * 2 + second
        return node


_STYLES = (  # (top cell s, t), plot size at which splitting stops, depth, widest lane, length of a plot over its width
    ((46.0, 31.0), 6.2, 6, 1.4, 1.3),
    ((66.0, 34.0), 13.5, 6, 3.0, 1.7),
    ((40.0, 28.0), 7.6, 6, 1.6, 1.1),
)


def build_houses(ground: Ground, site: Site) -> Houses:
    """Divide a site's frame into plots and find which of them are village in each period."""
    pitch, target, depth, lane, long = _STYLES[site.style]
    rows, cols = (int(2 * site.extent / p) + 3 for p in (pitch[1], pitch[0]))
    origin = -site.extent
    j, i = np.meshgrid(np.arange(cols), np.arange(rows))
    shift = unit(cell_hash(np.arange(rows), 0, derive(site.key, 40)), 0) * np.float32(pitch[0])
    key = cell_hash(i, j, derive(site.key, 41)).reshape(-1)
    rect = np.stack([origin + j * pitch[0] - shift[:, None], origin + i * pitch[1] + 0.0 * j]).reshape(2, -1)
    rect = np.concatenate([rect, rect + np.array(pitch)[:, None]]).astype(np.float32)
    inset = np.float32(lane / 2) * (0.45 + 0.55 * unit(cell_hash(np.arange(rows), 1, site.key), 1))
    inset = np.repeat(inset, cols)
    rect += np.stack([inset * 0.8, inset, -inset * 0.8, -inset])
    splits_s, splits_t = [], []
    for step in range(depth):
        size_s, size_t = rect[2] - rect[0], rect[3] - rect[1]
        longest = np.maximum(size_s, size_t)
        divide = longest > target * (0.65 + 1.35 * unit(key, 1) ** 2)
        along_s = size_s * (0.7 + 0.6 * unit(key, 2)) > size_t * long
        share = 0.32 + 0.36 * unit(key, 3)
        at_s = np.where(divide & along_s, rect[0] + share * size_s, np.inf).astype(np.float32)
        at_t = np.where(divide & ~along_s, rect[1] + share * size_t, np.inf).astype(np.float32)
        # Walls touch more often the further down the division: lanes, passages, party walls.
        wide = np.float32(lane * max(0.38 * 0.62**step, 0.06))
        gap = wide * np.maximum(unit(key, 4) * 1.5 - np.float32(0.2 + 0.07 * step), 0)
        first, second = rect.copy(), rect.copy()
        first[2], first[3] = np.minimum(rect[2], at_s - gap), np.minimum(rect[3], at_t - gap)
        second[0] = np.where(np.isfinite(at_s), at_s + gap, rect[0])
        second[1] = np.where(np.isfinite(at_t), at_t + gap, rect[1])
        rect = np.stack([first, second], axis=2).reshape(4, -1)
        key = np.stack([cell_hash(key, 1, site.key), cell_hash(key, 2, site.key)], axis=1).reshape(-1)
        splits_s.append(at_s)
        splits_t.append(at_t)
    s, t = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
    member = np.zeros((ground.periods, len(s)), np.uint8)
    for period, state in enumerate(site.states):
        if period and state == site.states[period - 1]:
            member[period] = member[period - 1]
        elif state.parts:
            inside = level(ground, site, state).at(s, t) < 0
            member[period] = np.where(inside, 1 + second_part(site, state, s, t), 0)
    return Houses(origin, pitch, (rows, cols), shift, tuple(splits_s), tuple(splits_t), rect, member, key)
