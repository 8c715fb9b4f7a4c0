"""What the labels of a source say, looked over before the first step: so that no one trains on what is not there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvsam.errors import LabelError
from uvsam.raster.guarded import open_guarded
from uvsam.training.config import Source

MOST_NAMED = 8
"""Of more values than these, a message names so many."""
FRACTIONAL = -(2**40)
"""Stands for label values that are no whole numbers."""


@dataclass
class Counts:
    """Cells of the look-over: how many have which label value, and how many are labelled and village."""

    values: dict[int, int] = field(default_factory=dict)
    labelled: int = 0
    village: int = 0

    def add(self, values: NDArray[np.int64], village: NDArray[np.float32]) -> None:
        """Count some cells.

        Args:
            values: (N,) raw label values of cells that have one.
            village: (M,) of those that are labelled, 1 where the label says village.
        """
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            self.values[int(value)] = self.values.get(int(value), 0) + int(count)
        self.labelled += len(village)
        self.village += int((village == 1).sum())


@dataclass(frozen=True)
class LabelSurvey:
    """What was found in a source.

    Attributes:
        name: of the source.
        images: how many there are.
        labelled_km2: ground with a label that counts.
        village_share: of that ground; None where there is none.
        values: share of the ground with any label value, by value; polygons have 1 inside and 0 outside.
        not_found: values that the source lists and that were not seen. A small object can be missed: cells are several
            pixels wide.
        corrections: the labels are corrections of a map, which need not have a village.
    """

    name: str
    images: int
    labelled_km2: float
    village_share: float | None
    values: Mapping[int, float]
    not_found: tuple[int, ...]
    corrections: bool

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name, "images": self.images, "labelled_km2": self.labelled_km2,
            "village_share": self.village_share, "values": dict(self.values), "values_not_found": list(self.not_found),
        }  # fmt: skip


def look_over(source: Source, counts: Counts, *, images: int, cell_m2: float, corrections: bool) -> LabelSurvey:
    """Sum up what was counted."""
    every = max(1, sum(counts.values.values()))
    return LabelSurvey(
        name=source.name,
        images=images,
        labelled_km2=counts.labelled * cell_m2 / 1e6,
        village_share=counts.village / counts.labelled if counts.labelled else None,
        values={value: counts.values[value] / every for value in sorted(counts.values)},
        not_found=tuple(value for value in source.values if value not in counts.values),
        corrections=corrections,
    )


def check_values(source: Source, found: LabelSurvey, rasters: Sequence[str]) -> None:
    """Whether the labels say what the source says of them.

    Args:
        rasters: files of the labels; none where they are polygons.

    Raises:
        LabelError: the labels have values that are not named, or the village value is nowhere; with the remedy.
    """
    strange = [value for value in found.values if value not in source.values]
    lost = [value for value in found.not_found if source.values[value] == "village" and rasters]
    if strange:
        raise LabelError(f"source '{source.name}': {_strange(source, strange, lost)}")
    lost = [value for value in lost if not _occurs(rasters, value)]
    if lost:
        raise LabelError(
            f"source '{source.name}': its value for village, {_listed(lost)}, is nowhere in {source.labels}, which has "
            f"{_listed(found.values) or 'no value'}; mend its 'values', or leave {_listed(lost)} out there if it shows "
            "no village"
        )
    if not found.labelled_km2:
        raise LabelError(
            f"source '{source.name}' has no labelled pixel inside its images and bounds; look at its 'bounds' and "
            "'values', and at the nodata of its labels"
        )


def _strange(source: Source, strange: Sequence[int], lost: Sequence[int]) -> str:
    """What to do about values that are not named."""
    possible = [value for value in strange if 0 <= value <= 255]
    if len(possible) < len(strange):
        bad = _listed([value for value in strange if value not in possible])
        return (
            f"the labels in {source.labels} have {bad}; label values are whole numbers from 0 to 255: reclassify them, "
            "or declare what stands for 'no label' as nodata (gdal_edit.py -a_nodata VALUE)"
        )
    kept = {value: meaning for value, meaning in source.values.items() if value not in lost}
    # one value beside "other", as 255 in a mask, is what was drawn
    guess = "village" if lost and len(possible) == 1 else "ignore"
    named = kept | dict.fromkeys(possible[:MOST_NAMED], guess)
    example = ", ".join(f"{value}: {meaning}" for value, meaning in sorted(named.items()))
    return (
        f"the labels in {source.labels} have {_listed(possible)}, which 'values' does not name; say what each means: a "
        f"class, other, or ignore, as in values: {{{example}}}"
    )


def check_shares(surveys: Iterable[LabelSurvey]) -> None:
    """Whether there is something to tell apart.

    Raises:
        LabelError: all labelled ground is village, or none is.
    """
    found = [survey for survey in surveys if survey.village_share is not None]
    if not found or any(survey.corrections for survey in found):
        return
    km2 = sum(survey.labelled_km2 for survey in found)
    village_km2 = sum(survey.labelled_km2 * (survey.village_share or 0) for survey in found)
    if village_km2 == 0:
        raise LabelError(
            f"none of the {km2:.3g} km2 with labels is village, so there is nothing to find; look at 'values' (which "
            "one is village?), at 'bounds', and whether labels and images are of one place"
        )
    if village_km2 >= km2 * (1 - 1e-9):
        raise LabelError(
            f"all of the {km2:.3g} km2 with labels is village, so there is nothing to tell it from; label other ground "
            "too. If 0 means 'no village' and is declared as nodata: gdal_edit.py -unsetnodata LABELS"
        )


def _occurs(rasters: Sequence[str], value: int) -> bool:
    """Whether a value is anywhere in label rasters, be it one pixel that a look-over of wide cells has missed."""
    for path in rasters:
        with open_guarded(path) as dataset:
            for _, window in dataset.block_windows(1):
                if (dataset.read(1, window=window) == value).any():
                    return True
    return False


def _listed(values: Iterable[int]) -> str:
    named = ["fractions" if value == FRACTIONAL else str(value) for value in values]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return ", ".join(named[:MOST_NAMED]) + more
