"""How much area is predicted in comparison with the truth."""

from dataclasses import dataclass

from uvsam.evaluation.confusion import Confusion


@dataclass(frozen=True)
class AreaBias:
    """Total areas in m2, and by which share the prediction exceeds the truth (negative: falls short of it)."""

    predicted_m2: float
    truth_m2: float

    @property
    def bias(self) -> float | None:
        """``predicted / truth - 1``; None where the truth is empty."""
        return self.predicted_m2 / self.truth_m2 - 1 if self.truth_m2 > 0 else None

    def as_dict(self) -> dict[str, float | None]:
        return {"predicted_m2": self.predicted_m2, "truth_m2": self.truth_m2, "bias": self.bias}


def area_bias(areas_m2: Confusion) -> AreaBias:
    """From areas compared in m2 (:func:`uvsam.evaluation.pixels.count_areas`)."""
    return AreaBias(areas_m2.tp + areas_m2.fp, areas_m2.tp + areas_m2.fn)
