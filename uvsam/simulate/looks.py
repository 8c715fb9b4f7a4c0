"""How a period looks: season on the ground, sun and view, atmosphere and sensor."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from uvsam.simulate.hashing import Floats, derive, draw
from uvsam.simulate.lattice import texture

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """One acquisition.

    Attributes:
        acquired: date of the image.
        tree, grass, water: colours of the season. ripe: 0 green fields to 1 harvested ones.
        sun, view: unit vectors on the ground (x east, y south) towards the sun and towards the satellite.
        sun_slope: metres of height per metre of shadow. view_slope: metres of height per metre of visible wall.
        gain, veil: per band factor and haze offset. gamma: tone curve. saturation: 1 as painted.
        blur_m: standard deviation of the point spread function. sharpen: strength of the edge enhancement.
        noise: standard deviation in digital numbers.
    """

    acquired: date
    tree: Rgb
    grass: Rgb
    water: Rgb
    ripe: float
    sun: tuple[float, float]
    sun_slope: float
    view: tuple[float, float]
    view_slope: float
    gain: Rgb
    veil: Rgb
    gamma: float
    saturation: float
    blur_m: float
    sharpen: float
    noise: float
    key: int


def _blend(a: Rgb, b: Rgb, share: float) -> Rgb:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


def make_look(year: int, index: int, seed: int) -> Look:
    """The look of the ``index``-th period, drawn from the seed."""
    key = derive(seed, 500, index)
    month = 1 + derive(key, 1) % 12
    dry = abs(month - 7) / 6
    azimuth = np.radians(draw(key, 2, 105, 175))
    elevation = np.radians(draw(key, 3, 44, 62) - 6 * dry)
    look_at = draw(key, 4, 0, 2 * np.pi)
    haze, balance, bright = draw(key, 5, 4, 44), draw(key, 6, -0.06, 0.06), draw(key, 7, 0.84, 1.28)
    return Look(
        acquired=date(year, month, 1 + derive(key, 8) % 28),
        tree=_blend((44, 58, 43), (74, 71, 58), dry * draw(key, 9, 0.1, 0.9)),
        grass=_blend((92, 105, 74), (138, 126, 100), dry * draw(key, 10, 0.2, 1.0)),
        water=_blend((40, 66, 62), (92, 102, 88), draw(key, 11)),
        ripe=dry * draw(key, 12, 0.4, 1.0),
        sun=(float(np.sin(azimuth)), float(-np.cos(azimuth))),
        sun_slope=float(np.tan(elevation)),
        view=(float(np.cos(look_at)), float(np.sin(look_at))),
        view_slope=1 / draw(key, 13, 0.06, 0.32),
        gain=(bright * (1 + balance), bright, bright * (1 - 1.3 * balance)),
        veil=(haze * 0.86, haze, haze * draw(key, 14, 1.0, 1.22)),
        gamma=draw(key, 15, 0.82, 1.12),
        saturation=draw(key, 16, 0.6, 1.05),
        blur_m=draw(key, 17, 0.36, 0.56),
        sharpen=draw(key, 18, 0.0, 0.55),
        noise=draw(key, 19, 1.2, 3.4),
        key=key,
    )


@dataclass(frozen=True, eq=False)
class Textures:
    """Repeating noise tiles with 1 m pixels (ground) and image pixels (sensor)."""

    fine: Floats
    rough: Floats
    noise: tuple[Floats, Floats]

    @staticmethod
    def pick(tile: Floats, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Floats:
        """The tile repeated over integer rows and columns, (H, W)."""
        result: Floats = tile[:, cols % tile.shape[1]][rows % tile.shape[0]]
        return result


def make_textures(seed: int) -> Textures:
    """Tiles of a seed."""
    return Textures(
        fine=texture(512, (1, 2), derive(seed, 601)),
        rough=texture(512, (2, 4, 8, 16, 32, 64), derive(seed, 602)),
        noise=(texture(509, (1,), derive(seed, 603)), texture(521, (1,), derive(seed, 604))),
    )
