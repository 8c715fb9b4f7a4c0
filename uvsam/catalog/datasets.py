"""Cards of the data sets that models are trained and judged on: where they come from and what may be done with them."""

from pathlib import Path

from pydantic import Field, ValidationError

from uvsam.catalog.cards import Strict, catalog_folder, read_fields
from uvsam.errors import CatalogError
from uvsam.wording import wrong_setting


class DatasetCard(Strict):
    """A data set.

    Attributes:
        gsd_m: metres on the ground per pixel; None where it varies or is unknown.
        labels: meaning of the label values, or of the polygons.
        licence: as its source states it, contradictions included.
        citation: how to cite it.
        used_for: what the package's own models use it for.
    """

    name: str
    summary: str
    place: str
    source: str
    citation: str
    licence: str
    bands: tuple[str, ...]
    dtype: str
    gsd_m: float | None = Field(default=None, gt=0)
    crs: str | None = None
    acquired: str | None = None
    labels: str
    known_faults: tuple[str, ...] = ()
    used_for: tuple[str, ...] = ()


def dataset_cards() -> list[DatasetCard]:
    """All data set cards of the catalogue, by name.

    Raises:
        CatalogError: one of them is malformed.
    """
    return [_read(path) for path in sorted((catalog_folder().parent / "datasets").glob("*.yaml"))]


def _read(path: Path) -> DatasetCard:
    try:
        return DatasetCard.model_validate(read_fields(path))
    except ValidationError as error:
        raise CatalogError(f"not a data set card: {wrong_setting(error, DatasetCard, str(path))}") from error
