"""What lies where: warped street grid, blocks and their use, highways, railway, river, lakes, villages. No pixels."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from uvsam.simulate.hashing import Floats, derive, draw
from uvsam.simulate.lattice import Doubles, Lattice, noise

ARTERIAL_PITCH_M = 820.0
LATTICE_STEP_M = 32.0
LATTICE_MARGIN_M = 400.0


class Use(IntEnum):
    """Land use of a block."""

    PERIMETER = 0
    SLABS = 1
    TOWERS = 2
    VILLAS = 3
    WALKUPS = 4
    INDUSTRY = 5
    COMMERCE = 6
    PARK = 7
    FIELDS = 8
    BARE = 9
    CAMPUS = 10


class LineKind(IntEnum):
    RIVER = 0
    LAKE = 1
    RAILWAY = 2
    HIGHWAY = 3


@dataclass(frozen=True, eq=False)
class Line:
    """Something long that cuts the street grid.

    Attributes:
        across: signed metres from the centre line (for a lake: from the shore, negative inside).
        along: metres along the line.
        half_width: metres to its edge (0 for a lake).
    """

    kind: LineKind
    across: Lattice
    along: Lattice
    half_width: float

    def edge(self, across: Floats) -> Floats:
        """Metres from the edge, negative inside."""
        return across if self.kind == LineKind.LAKE else np.abs(across) - np.float32(self.half_width)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Everything between street centre lines.

    Attributes:
        rect: (n, 4) u0, v0, u1, v1 in the warped street grid.
        half: (n, 4) half width of the street at each of those sides.
        use: (n, periods) ``Use``.
        key: (n,) hash.
        box: (n, 4) x0, y0, x1, y1 that contains the block, in metres.
    """

    rect: Floats
    half: Floats
    use: NDArray[np.uint8]
    key: NDArray[np.uint32]
    box: Doubles


@dataclass(frozen=True, eq=False)
class Ground:
    """The city without its villages.

    Attributes:
        u, v: warped street grid coordinates. tone: slow brightness variation around 0.
    """

    seed: int
    size_m: float
    periods: int
    u: Lattice
    v: Lattice
    tone: Lattice
    lines: tuple[Line, ...]
    blocks: Blocks

    def unwarp(self, u: Doubles, v: Doubles) -> tuple[Doubles, Doubles]:
        """(x, y) of street grid positions, by fixed-point iteration."""
        angle = city_angle(self.seed)
        return _unwarp(self.u, self.v, angle, u, v)


def city_angle(seed: int) -> float:
    """Direction of the street grid in radians."""
    return draw(seed, 11, -0.35, 0.35)


def arterial(k: NDArray[np.int64], axis: int, seed: int) -> tuple[Doubles, Doubles]:
    """(position, half width) of the k-th arterial road along an axis of the street grid."""
    at = np.array([(n + draw(derive(seed, 21, axis, int(n)), 0, -0.2, 0.2)) * ARTERIAL_PITCH_M for n in k])
    half = np.array([draw(derive(seed, 21, axis, int(n)), 1, 17.0, 27.0) for n in k])
    return at + draw(seed, 23 + axis, 0, ARTERIAL_PITCH_M), half


def build_ground(size_m: float, periods: int, seed: int) -> Ground:
    """The city of a seed, ``size_m`` wide, over a number of periods."""
    low, high = -LATTICE_MARGIN_M, size_m + LATTICE_MARGIN_M
    x, y = Lattice.nodes(low, high, LATTICE_STEP_M)

    def lattice(values: Doubles) -> Lattice:
        return Lattice(low, low, LATTICE_STEP_M, values.astype(np.float32))

    angle = city_angle(seed)
    wu = 70 * noise(x, y, 900, derive(seed, 1)) + 14 * noise(x, y, 330, derive(seed, 2))
    wv = 70 * noise(x, y, 900, derive(seed, 3)) + 14 * noise(x, y, 330, derive(seed, 4))
    u = lattice(np.cos(angle) * x + np.sin(angle) * y + wu)
    v = lattice(-np.sin(angle) * x + np.cos(angle) * y + wv)
    tone = lattice(noise(x, y, 1500, derive(seed, 5)) * 0.6 + noise(x, y, 300, derive(seed, 6)) * 0.4)
    lines = tuple(_lines(x, y, size_m, seed, lattice))
    return Ground(seed, size_m, periods, u, v, tone, lines, _blocks(u, v, size_m, periods, seed))


def _lines(x: Doubles, y: Doubles, size: float, seed: int, lattice):  # type: ignore[no-untyped-def]
    """Water, rails and highways, in the order in which they are painted."""

    def straight(key: int, bend: float, wavelength: float) -> tuple[Lattice, Lattice]:
        angle, offset = draw(key, 0, 0, np.pi), draw(key, 1, -0.38, 0.38) * size
        dx, dy = x - size / 2, y - size / 2
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = -dx * np.sin(angle) + dy * np.cos(angle) - offset
        return lattice(across + bend * noise(along, along * 0, wavelength, derive(key, 2))), lattice(along)

    if size >= 1500:
        key = derive(seed, 31)
        yield Line(LineKind.RIVER, *straight(key, 220, 1400), draw(key, 5, 12, 16 + min(size, 8000) / 160))
        lake = (noise(x, y, 1300, derive(seed, 32)) + 0.25 * noise(x, y, 300, derive(seed, 33)) + 0.78) * 330
        yield Line(LineKind.LAKE, lattice(lake), lattice(x), 0.0)
        yield Line(LineKind.RAILWAY, *straight(derive(seed, 34), 120, 3000), draw(seed, 35, 9, 17))
        yield Line(LineKind.HIGHWAY, *straight(derive(seed, 36), 60, 2500), draw(seed, 37, 19, 31))
        radius = np.hypot(x - size / 2, y - size / 2)
        angle = city_angle(seed)
        turn = np.arctan2(y - size / 2, x - size / 2)
        for ring in range(1, 1 + max(1, round(size / 7000))):
            r = min(0.34 * size, 2600 * ring)
            corner = 1 + 0.09 * np.cos(4 * turn + 4 * angle)
            bent = radius / corner - r + 0.05 * r * noise(x, y, 0.5 * r, derive(seed, 38, ring))
            yield Line(LineKind.HIGHWAY, lattice(bent), lattice(turn * r), draw(seed, 39 + ring, 17, 27))


_WEIGHTS = {  # centre, middle, edge of the city
    Use.PERIMETER: (0.22, 0.06, 0.00),
    Use.SLABS: (0.17, 0.20, 0.07),
    Use.TOWERS: (0.14, 0.13, 0.05),
    Use.VILLAS: (0.02, 0.08, 0.11),
    Use.WALKUPS: (0.20, 0.17, 0.05),
    Use.INDUSTRY: (0.02, 0.12, 0.16),
    Use.COMMERCE: (0.08, 0.05, 0.03),
    Use.PARK: (0.07, 0.07, 0.08),
    Use.FIELDS: (0.00, 0.02, 0.33),
    Use.BARE: (0.02, 0.04, 0.06),
    Use.CAMPUS: (0.06, 0.05, 0.03),
}
_LEAF_M = {
    Use.PERIMETER: 120, Use.SLABS: 190, Use.TOWERS: 210, Use.VILLAS: 150, Use.WALKUPS: 140, Use.INDUSTRY: 240,
    Use.COMMERCE: 220, Use.PARK: 300, Use.FIELDS: 330, Use.BARE: 200, Use.CAMPUS: 230,
}  # fmt: skip


def _choose_use(centrality: float, chance: float) -> Use:
    """Land use for a place; ``centrality`` 1 at the centre of the city, 0 at its edge."""
    t = min(max(centrality, 0.0), 1.0) * 2
    weights = [(w[2] + (w[1] - w[2]) * t) if t < 1 else (w[1] + (w[0] - w[1]) * (t - 1)) for w in _WEIGHTS.values()]
    index = int(np.searchsorted(np.cumsum(weights), chance * sum(weights), side="right"))
    return list(_WEIGHTS)[min(index, len(_WEIGHTS) - 1)]


def _history(use: Use, key: int, periods: int) -> list[Use]:
    """Land use of a block in every period: fields become building sites, building sites become housing."""
    uses = [use]
    for step in range(1, periods):
        chance, now = draw(key, 70 + step), uses[-1]
        if now == Use.FIELDS and chance < 0.12:
            now = Use.BARE
        elif now == Use.BARE and chance < 0.6:
            now = (Use.TOWERS, Use.SLABS, Use.WALKUPS, Use.INDUSTRY)[derive(key, 90) % 4]
        uses.append(now)
    return uses


def _blocks(u: Lattice, v: Lattice, size: float, periods: int, seed: int) -> Blocks:
    rects: list[tuple[float, ...]] = []
    halves: list[tuple[float, ...]] = []
    uses: list[list[Use]] = []
    keys: list[int] = []

    def split(rect: tuple[float, ...], half: tuple[float, ...], key: int, depth: int, use: Use | None) -> None:
        w, h = rect[2] - rect[0], rect[3] - rect[1]
        if use is None and (depth >= 2 and max(w, h) < 430):
            cx, cy = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
            away = np.hypot(cx - middle[0], cy - middle[1]) / (0.62 * size)
            use = _choose_use(1 - away + 0.5 * float(noise(cx, cy, 1100, derive(seed, 50))), draw(key, 3))
        if use is not None and max(w, h) < _LEAF_M[use] * draw(key, 4, 0.75, 1.15):
            rects.append(rect)
            halves.append(half)
            keys.append(key)
            uses.append(_history(use, key, periods))
            return
        axis = int(h > w) if abs(np.log(h / w)) > 0.25 else derive(key, 5) & 1
        at = rect[axis] + (rect[axis + 2] - rect[axis]) * draw(key, 6, 0.42, 0.58)
        street = draw(key, 7, *((9.0, 14.0) if depth < 2 else (4.5, 7.5) if depth < 4 else (3.0, 4.5)))
        for side in (0, 1):
            child, sides = list(rect), list(half)
            child[axis + 2 * (1 - side)] = at
            sides[axis + 2 * (1 - side)] = street
            split(tuple(child), tuple(sides), derive(key, 8, side), depth + 1, use)

    corners = np.array([[-60.0, -60.0], [size + 60, -60], [size + 60, size + 60], [-60, size + 60]])
    cu, cv = u.at(corners[:, 0], corners[:, 1]), v.at(corners[:, 0], corners[:, 1])
    middle = float(u.at(size / 2, size / 2)), float(v.at(size / 2, size / 2))
    ranges = []
    for axis, c in enumerate((cu, cv)):
        k = np.arange(int(c.min() / ARTERIAL_PITCH_M) - 4, int(c.max() / ARTERIAL_PITCH_M) + 4)
        ranges.append(arterial(k, axis, seed))
    (ku, hu), (kv, hv) = ranges
    for a in range(len(ku) - 1):
        for b in range(len(kv) - 1):
            near_u = ku[a + 1] > cu.min() - 120 and ku[a] < cu.max() + 120
            near_v = kv[b + 1] > cv.min() - 120 and kv[b] < cv.max() + 120
            if near_u and near_v:
                rect, half = (ku[a], kv[b], ku[a + 1], kv[b + 1]), (hu[a], hv[b], hu[a + 1], hv[b + 1])
                split(rect, half, derive(seed, 60, a, b), 0, None)
    rect_array = np.array(rects)
    box = _boxes(u, v, city_angle(seed), rect_array)
    inside = (box[:, 2] > -60) & (box[:, 3] > -60) & (box[:, 0] < size + 60) & (box[:, 1] < size + 60)
    inside &= np.all(np.isfinite(box), axis=1)
    return Blocks(
        rect_array[inside].astype(np.float32),
        np.array(halves)[inside].astype(np.float32),
        np.array(uses)[inside].astype(np.uint8),
        np.array(keys, dtype=np.uint32)[inside],
        box[inside],
    )


def _boxes(u: Lattice, v: Lattice, angle: float, rect: Doubles) -> Doubles:
    """Boxes in metres around rectangles of the street grid, from points along their sides."""
    t = np.linspace(0, 1, 9)
    ends = [(t, 0 * t), (t, 0 * t + 1), (0 * t, t), (0 * t + 1, t)]
    fu, fv = (np.concatenate([e[k] for e in ends]) for k in (0, 1))
    pu = rect[:, :1] + (rect[:, 2:3] - rect[:, :1]) * fu
    pv = rect[:, 1:2] + (rect[:, 3:] - rect[:, 1:2]) * fv
    x, y = _unwarp(u, v, angle, pu, pv)
    return np.stack([x.min(1) - 4, y.min(1) - 4, x.max(1) + 4, y.max(1) + 4], axis=1)


def _unwarp(u: Lattice, v: Lattice, angle: float, pu: Doubles, pv: Doubles) -> tuple[Doubles, Doubles]:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = pu * cos - pv * sin, pu * sin + pv * cos
    for _ in range(14):
        du, dv = pu - u.at(x, y), pv - v.at(x, y)
        x, y = x + du * cos - dv * sin, y + du * sin + dv * cos
    return x, y
