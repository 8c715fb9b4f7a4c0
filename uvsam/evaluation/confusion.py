"""Counts of right and wrong, and the ratios made of them."""

from dataclasses import dataclass
from typing import Self


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None where there is nothing to take a part of."""
    return part / whole if whole > 0 else None


def f_score(precision: float | None, recall: float | None) -> float | None:
    """Harmonic mean; 0 where one side is empty (its ratio is None) and the other is not; None where both are."""
    if precision is None and recall is None:
        return None
    if not precision or not recall:
        return 0.0
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True)
class Confusion:
    """True positives, false positives and false negatives: pixels, m2 or objects. Adds up over parts of a map.

    Law: ``(a + b).iou`` is the ratio of the sums, never the mean of ratios.
    """

    tp: float = 0
    fp: float = 0
    fn: float = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def iou(self) -> float | None:
        """Intersection over union; None where neither side has anything."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float | None:
        """Share of the prediction that is right; None where nothing is predicted."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the truth that is found; None where the truth is empty."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn); None where neither side has anything."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def as_dict(self) -> dict[str, float | None]:
        """The counts and the ratios; a ratio that has no meaning is None (null in JSON)."""
        return {
            "tp": self.tp, "fp": self.fp, "fn": self.fn,
            "iou": self.iou, "precision": self.precision, "recall": self.recall, "f1": self.f1,
        }  # fmt: skip
