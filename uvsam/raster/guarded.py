"""Opening a raster that is no image, as labels are, with the care that images are opened with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvsam.raster.access import open_dataset
from uvsam.raster.limits import check_limits
from uvsam.raster.names import gdal_name
from uvsam.raster.references import Part, References
from uvsam.raster.scene import check_exists


@contextmanager
def open_guarded(path: str | Path) -> Iterator[Any]:
    """The rasterio dataset of a file, after what it is made of was followed.

    Raises:
        SceneError: it is missing, no raster, or beyond ``raster.limits``.
    """
    check_exists(str(path))
    references = References()
    references.follow(Part(gdal_name(str(path))))
    with open_dataset(str(path)) as dataset:
        check_limits(dataset, references, may_be_hollow=True)
        yield dataset
