"""`uvsam simulate`: a synthetic city into a folder."""

from pathlib import Path

from uvsam.errors import SettingsError
from uvsam.progress import Progress, silent
from uvsam.simulate.city import DEFAULT_CRS, simulate_city
from uvsam.simulate.villages import VILLAGES_PER_KM2


def parse_periods(text: str) -> tuple[int, ...]:
    """Years from ``2012,2016,2020``.

    Raises:
        SettingsError: something between the commas is not a year.
    """
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise SettingsError(f"periods must be years separated by commas, such as 2012,2016, not {text!r}") from error


def run_simulate(
    out_dir: Path,
    *,
    size_m: float,
    gsd_m: float,
    periods: str,
    seed: int,
    crs: str | None = None,
    villages_per_km2: float = VILLAGES_PER_KM2,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Write the images and the truth; the arguments are those of the command line."""
    return simulate_city(
        out_dir, size_m=size_m, gsd_m=gsd_m, periods=parse_periods(periods), seed=seed, crs=crs or DEFAULT_CRS,
        villages_per_km2=villages_per_km2, overwrite=overwrite, progress=progress,
    )  # fmt: skip
