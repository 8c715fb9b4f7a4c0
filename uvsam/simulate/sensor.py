"""Light and sensor: cast shadows, visible walls, haze, blur, noise, quantisation."""

import numpy as np
from numpy.typing import NDArray

from uvsam.raster.window import Window
from uvsam.simulate.hashing import Floats
from uvsam.simulate.looks import Look, Textures

TALLEST_M = 66.0
BLUR_PX = 2
STRIP_PX = 128


def _steps(direction: tuple[float, float], slope: float, gsd: float) -> list[tuple[int, int, float]]:
    """(rows, cols, drop in metres) of the moves that together look ``TALLEST_M / slope`` metres into a direction."""
    count = int(np.ceil(TALLEST_M / slope / gsd)) + 1
    moves, covered = [], 1
    while covered < count:
        move = min(covered, count - covered)
        moves.append((round(direction[1] * move), round(direction[0] * move), move * gsd * slope))
        covered += move
    return moves


def reach_px(look: Look, gsd: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """((rows above, columns left), (rows below, columns right)) that the image of a pixel depends on."""
    before, after = [BLUR_PX, BLUR_PX], [BLUR_PX, BLUR_PX]
    for direction, slope in ((look.sun, look.sun_slope), (look.view, look.view_slope)):
        moves = _steps(direction, slope, gsd)
        for axis in (0, 1):
            total = int(sum(move[axis] for move in moves))
            before[axis] = max(before[axis], BLUR_PX - total)
            after[axis] = max(after[axis], BLUR_PX + total)
    return (before[0], before[1]), (after[0], after[1])


def _horizon(height: Floats, direction: tuple[float, float], slope: float, gsd: float) -> Floats:
    """Height of the line of sight above each pixel that just clears everything in ``direction``."""
    top = height.copy()
    rows, cols = height.shape
    for dr, dc, drop in _steps(direction, slope, gsd):
        to = slice(max(0, -dr), min(rows, rows - dr)), slice(max(0, -dc), min(cols, cols - dc))
        source = slice(max(0, dr), min(rows, rows + dr)), slice(max(0, dc), min(cols, cols + dc))
        moved = top[source] - np.float32(drop)
        np.maximum(top[to], moved, out=moved)
        top[to] = moved
    return top


def shadows_and_walls(rgb: Floats, height: Floats, look: Look, gsd: float) -> None:
    """Darken what the sun does not reach, and draw the walls that face the satellite; in place.

    Pixels closer to the border than ``reach_px`` are not complete.
    """
    dark = _horizon(height, look.sun, look.sun_slope, gsd)
    dark -= height
    dark -= np.float32(0.25)
    np.clip(dark * np.float32(1.2), 0, 1, out=dark)
    wall = _horizon(height, look.view, look.view_slope, gsd)
    wall -= height
    lit = look.sun[0] * -look.view[0] + look.sun[1] * -look.view[1] > 0
    mask = wall > 1.2
    floor = np.where((wall[mask] % np.float32(3.0)) < 1.1, np.float32(0.8), np.float32(1.0))
    for band, colour in enumerate((186, 180, 170) if lit else (98, 98, 102)):
        rgb[band][mask] = floor * np.float32(colour)
    if lit:
        dark[mask] *= np.float32(0.3)
    for band, share in enumerate((0.70, 0.66, 0.60)):
        rgb[band] *= 1 - np.float32(share) * dark


def _blur(plane: Floats, sigma_px: float) -> Floats:
    """Separable five-pixel Gaussian; the outermost ``BLUR_PX`` pixels are lost."""
    weights = np.exp(-0.5 * (np.arange(3) / sigma_px) ** 2)
    w0, w1, w2 = (np.float32(w) for w in weights / (weights[0] + 2 * weights[1] + 2 * weights[2]))
    for axis in (0, 1):
        count = plane.shape[axis] - 2 * BLUR_PX
        five = [plane[k : k + count] if axis == 0 else plane[:, k : k + count] for k in range(5)]
        out = five[2] * w0
        pair = five[1] + five[3]
        pair *= w1
        out += pair
        np.add(five[0], five[4], out=pair)
        pair *= w2
        out += pair
        plane = out
    return plane


def expose(
    rgb: Floats, tone: Floats, noise: tuple[Floats, Floats], look: Look, gsd: float, inner: Window, window: Window
) -> NDArray[np.uint8]:
    """Digital numbers of the ``inner`` part of a painted surface, strip by strip so that the work stays in the cache.

    Args:
        rgb: (3, H, W) with at least ``BLUR_PX`` pixels around ``inner``.
        tone: (H, W) slow brightness variation.
        inner: position of the result in ``rgb``. window: its position in the image, for the noise.
    """
    result = np.empty((3, *window.shape), np.uint8)
    tones = _tone_curve(look)
    for start in range(0, window.height, STRIP_PX):
        count = min(STRIP_PX, window.height - start)
        source = Window(inner.row + start, inner.col, count, inner.width)
        target = Window(window.row + start, window.col, count, window.width)
        result[:, start : start + count] = _expose_strip(rgb, tone, noise, look, gsd, source, target, tones)
    return result


def _expose_strip(
    rgb: Floats, tone: Floats, noise: tuple[Floats, Floats], look: Look, gsd: float, inner: Window, window: Window,
    tones: list[Floats],
) -> NDArray[np.uint8]:  # fmt: skip
    edge = inner.pad(BLUR_PX).slices
    factor = 1 + np.float32(0.07) * tone[edge]
    grey = (rgb[0][edge] + rgb[1][edge] + rgb[2][edge]) * np.float32((1 - look.saturation) / 3)
    sigma = max(look.blur_m / gsd, 0.42)
    rows, cols = np.arange(window.row, window.row_stop), np.arange(window.col, window.col_stop)
    result = np.empty((3, *window.shape), np.uint8)
    for band in range(3):
        plane = rgb[band][edge] * np.float32(look.saturation)
        plane += grey
        plane *= factor
        soft = _blur(plane, sigma)
        if look.sharpen:
            soft += np.float32(look.sharpen) * (soft - _blur(plane, 2.2 * sigma))
        soft *= np.float32(4)
        np.clip(soft, 0, len(tones[band]) - 1, out=soft)
        value = tones[band][soft.astype(np.int32)]
        shift = look.key % 400 + 31 * band
        value += Textures.pick(noise[0], rows + shift, cols) * np.float32(look.noise / np.sqrt(2))
        value += Textures.pick(noise[1], rows, cols + shift) * np.float32(look.noise / np.sqrt(2))
        value += np.float32(0.5)
        np.clip(value, 0, 255, out=value)
        result[band] = value
    return result


def _tone_curve(look: Look) -> list[Floats]:
    """Per band, digital numbers of surface brightness in quarter steps: gain, gamma, haze."""
    level = np.arange(4 * 400) / 4
    curves = []
    for gain, veil in zip(look.gain, look.veil, strict=True):
        value = 255 * (level * gain / 255) ** look.gamma
        curves.append((veil + value * (1 - 0.6 * veil / 255)).astype(np.float32))
    return curves
