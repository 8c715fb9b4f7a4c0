"""What several tests need: a simulated city, and the real imagery where it is at hand."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy machine is not a bug
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small simulated city: ``city_2016.tif``, ``city_2020.tif``, ``truth.gpkg``."""
    from uvsam.simulate import simulate_city

    folder = tmp_path_factory.mktemp("city")
    simulate_city(folder, size_m=900, gsd_m=0.9, periods=(2016, 2020), seed=11)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real imagery with labels, which is not ours to publish."""
    folder = Path(os.environ.get("UVSAM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real imagery is not at {folder}; set UVSAM_DATA to its folder")
    return folder
