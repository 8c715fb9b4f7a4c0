"""A page, layers and tables for whatever there is and is not in the layers, and all say the same."""

import itertools
import tempfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.cli.main import run

CRS = "EPSG:32650"
EAST, NORTH = 500_000.0, 2_500_000.0
PLACES = [(EAST + 300 * x, NORTH + 300 * y) for x in range(3) for y in range(2)]
GROUNDS = {"none": None, "all": shapely.box(EAST - 500, NORTH - 500, EAST + 1500, NORTH + 1500)}


def write(path: Path, sizes: list[float], crs: str | None, ground: shapely.Polygon | None) -> str:
    """A layer with a square of each size above 0; they are some metres from each other."""
    outlines = [shapely.box(x, y, x + size, y + size) for (x, y), size in zip(PLACES, sizes, strict=False) if size]
    villages = gpd.GeoDataFrame({"n": range(len(outlines))}, geometry=outlines, crs=crs)
    villages.to_file(path, layer="villages", geometry_type="Polygon")
    if ground is not None:
        gpd.GeoDataFrame({"x": [1]}, geometry=[ground], crs=crs).to_file(path, layer="coverage")
    return str(path)


def hectares(area_m2: float) -> str:
    return f"<td>{area_m2 / 1e4:,.2f}</td>"


sizes = st.lists(st.sampled_from([0.0, 0.0, 60.0, 100.0, 150.0]), min_size=6, max_size=6)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@settings(max_examples=12)
@given(st.lists(sizes, min_size=2, max_size=4), st.sampled_from([CRS, None]), st.sampled_from(["none", "all"]))
def test_page_layers_and_tables_agree(periods: list[list[float]], crs: str | None, seen: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write(folder / f"v_{2010 + k}.gpkg", one, crs, GROUNDS[seen]) for k, one in enumerate(periods)]
        out = ["--out", str(folder / "t.gpkg"), "--report", str(folder / "t.html"), "--tables", str(folder / "tables")]
        assert run(["trends", *paths, *out]) == 0
        page, histories = (folder / "t.html").read_text(), gpd.read_file(folder / "t.gpkg", layer="histories")
        steps, changes = pd.read_csv(folder / "tables/steps.csv"), gpd.read_file(folder / "t.gpkg", layer="changes")
        told = gpd.read_file(folder / "t.gpkg", layer="periods")
        for k, one in enumerate(periods):
            true = sum(size**2 for size in one)
            assert told["villages"][k] == sum(size > 0 for size in one)
            assert told["area_m2"][k] == pytest.approx(true, rel=1e-2)  # map and UTM differ by the scale of UTM
            assert (histories["valid_from"].dt.year == 2010 + k).sum() == told["villages"][k]
            assert hectares(told["area_m2"][k]) in page
        for k, (one, other) in enumerate(itertools.pairwise(periods)):
            gained = sum(max(0.0, b**2 - a**2) for a, b in zip(one, other, strict=True))
            lost = sum(max(0.0, a**2 - b**2) for a, b in zip(one, other, strict=True))
            assert (steps["gained_m2"][k], steps["lost_m2"][k]) == pytest.approx((gained, lost), rel=1e-2)
            assert hectares(steps["gained_m2"][k]) in page
            own = changes[changes["valid_from"].dt.year == 2010 + k].groupby("kind")["area_m2"].sum()
            assert own.get("gained", 0) == pytest.approx(steps["gained_m2"][k])
            assert own.get("lost", 0) == pytest.approx(steps["lost_m2"][k])


FULL = [100.0] * 6


@pytest.mark.parametrize(
    ("periods", "grounds"),
    [
        ([FULL, FULL], ("none", "none")),
        ([[], FULL], ("none", "none")),
        ([FULL, []], ("none", "none")),
        ([FULL, [], FULL], ("all", "all", "all")),
        ([[], []], ("all", "all")),
        ([[], []], ("none", "none")),
        ([[100.0], [100.0]], ("none", "none")),
        ([FULL, FULL], ("all", "none")),
        ([FULL, FULL, []], ("none",) * 3),  # texts of a table that has rows from the second step on
        ([FULL] * 10, ("none",) * 10),
    ],
)
def test_there_is_a_page_with_rings_and_zones(
    tmp_path: Path, periods: list[list[float]], grounds: tuple[str, ...]
) -> None:
    zones = tmp_path / "zones.gpkg"
    halves = [shapely.box(EAST - 50, NORTH - 50, EAST + x, NORTH + 900) for x in (250, 900)]
    gpd.GeoDataFrame({"name": ["west", "all"]}, geometry=halves, crs=CRS).to_file(zones)
    paths = [
        write(tmp_path / f"v_{2010 + k}.gpkg", one, CRS, GROUNDS[ground])
        for k, (one, ground) in enumerate(zip(periods, grounds, strict=True))
    ]
    out = ["--out", str(tmp_path / "t.gpkg"), "--report", str(tmp_path / "t.html"), "--tables", str(tmp_path / "t")]
    where = ["--zones", str(zones), "--centre", "117.0,22.6", "--rings-km", "1,2"]
    assert run(["trends", *paths, *out, *where]) == 0
    page = (tmp_path / "t.html").read_text()
    assert page.count("<svg") == 4
    assert "nan" not in page.split("</style>")[1].lower().replace("tenance", "")
