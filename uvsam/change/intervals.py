"""How sure an area is, from how sure its outline is."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PIECE_M = 20.0
"""An outline errs together over about this length: the side of a house with its yard."""


def outline_half_m2(perimeter_m: Floats, tolerance_m: float) -> Floats:
    """Half the 95 % interval of an area whose outline lies within ``tolerance_m`` of the true one, 95 % of the time.

    Pieces of :data:`PIECE_M` err by themselves, so errors cancel along a long outline: it is the tolerance times the
    root of the perimeter times the length of a piece. It says nothing of what is wrong as a whole.
    """
    half: Floats = tolerance_m * np.sqrt(perimeter_m * PIECE_M)
    return half


def together(half_m2: Floats) -> float:
    """Half the interval of a sum of areas that err independently."""
    return float(np.sqrt(np.square(half_m2).sum()))


def is_significant(change_m2: Floats, half_before_m2: Floats, half_after_m2: Floats) -> NDArray[np.bool_]:
    """Whether a change is more than the errors of both areas explain, at 95 %."""
    significant: NDArray[np.bool_] = np.abs(change_m2) > np.hypot(half_before_m2, half_after_m2)
    return significant
