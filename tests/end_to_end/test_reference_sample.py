"""Samples through the command line: drawn, filled in as people do, and areas corrected by them."""

import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from uvsam.cli.main import run

CRS = "EPSG:32650"
EAST, NORTH = 500_000.0, 2_500_000.0
GROUND = shapely.box(EAST - 200, NORTH - 200, EAST + 1200, NORTH + 1200)
HECTARE = 10_000.0


def layer(path: Path, sizes: list[float]) -> Path:
    corners = [EAST + 300.0 * k for k in range(len(sizes))]
    boxes = [shapely.box(x, NORTH, x + size, NORTH + size) for x, size in zip(corners, sizes, strict=True)]
    gpd.GeoDataFrame({"n": range(len(boxes))}, geometry=boxes, crs=CRS).to_file(path, layer="villages")
    gpd.GeoDataFrame({"x": [1]}, geometry=[GROUND], crs=CRS).to_file(path, layer="coverage")
    return path


def change(path: Path, *statements: str) -> None:
    """Edit a GeoPackage as QGIS does."""
    with sqlite3.connect(path) as database:
        triggers = database.execute("select name, sql from sqlite_master where type = 'trigger' and sql like '%ST_%'")
        for name, _ in triggers.fetchall():  # they call functions that GDAL and QGIS bring
            database.execute(f'drop trigger "{name}"')
        for statement in statements:
            database.execute(statement)
    database.close()


def fill_in(path: Path, layers: list[Path], words: tuple[str, ...], count: int | None = None) -> None:
    """Write what is there into the first places of a sample; ``words`` by number in the layers, as its strata."""
    places = gpd.read_file(path, layer="sample")
    inside = [places.within(gpd.read_file(one, layer="villages").union_all()) for one in layers]
    kind = sum((1 << k) * one.to_numpy().astype(int) for k, one in enumerate(inside))
    rows = list(zip(places["place_id"], kind, strict=True))[:count]
    change(path, *(f"update sample set truth = '{words[kind]}' where place_id = {number}" for number, kind in rows))


def corrected(out: Path) -> pd.DataFrame:
    return gpd.read_file(out, layer="corrected").set_index("of").rename(index=lambda name: name.split(",")[0])


@pytest.fixture
def grown(tmp_path: Path) -> list[Path]:
    """Nothing is lost, but for what rounding leaves."""
    return [layer(tmp_path / "a_2012.gpkg", [100, 100, 100]), layer(tmp_path / "b_2016.gpkg", [100.00001, 150, 100])]


@pytest.fixture
def sample(tmp_path: Path, grown: list[Path]) -> Path:
    assert run(["sample", *map(str, grown), "--out", str(tmp_path / "s.gpkg"), "--places", "200"]) == 0
    return tmp_path / "s.gpkg"


def correct(tmp_path: Path, layers: list[Path], sample: Path) -> int:
    return run(["trends", *map(str, layers), "--out", str(tmp_path / "t.gpkg"), "--reference", str(sample)])


def test_the_example_of_olofsson_2014_through_the_command_line(tmp_path: Path, grown: list[Path]) -> None:
    """Tables 8 and 9: pixels of 30 m, 640 places; loss, gain, stable forest, stable other land."""
    names, pixels = ["lost", "gained", "kept", "other"], np.array([200_000, 150_000, 3_200_000, 6_450_000])
    table = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped, truth = np.repeat(np.indices(table.shape).reshape(2, -1), table.ravel(), axis=1)
    number, path = np.arange(1, 641), tmp_path / "olofsson.gpkg"
    gpd.GeoDataFrame(
        {"place_id": number, "truth": np.array(names, object)[truth]}, geometry=[shapely.Point(EAST, NORTH)] * 640,
        crs=CRS,
    ).to_file(path, layer="sample")  # fmt: skip
    tables = {
        "drawn": pd.DataFrame({"place_id": number, "stratum": np.array(names, object)[mapped]}),
        "strata": pd.DataFrame({"stratum": names, "area_m2": pixels * 900.0, "places": table.sum(axis=1)}),
        "run": pd.DataFrame({"key": ["dates"], "value": ['["2012-07-01", "2016-07-01"]']}),
    }
    for name, one in tables.items():
        pyogrio.write_dataframe(one, path, layer=name, append=True)
    assert correct(tmp_path, grown, path) == 0
    found = corrected(tmp_path / "t.gpkg")
    assert (found["area_m2"] / HECTARE).round().loc[names].tolist() == [21_158, 11_686, 285_770, 581_386]
    assert (1.96 * found["error_m2"] / HECTARE).round().loc[names].tolist() == [6_158, 3_756, 15_510, 16_282]
    assert found["users"].loc[names].round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert found["producers"].loc[names].round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    net = found.loc["change"]
    assert net["area_m2"] == pytest.approx(found["area_m2"]["gained"] - found["area_m2"]["lost"])
    weight, share = pixels / pixels.sum(), table / table.sum(axis=1, keepdims=True)
    score = np.array([-1, 1, 0, 0])  # of a place; the variance of its mean in each stratum
    spread = share @ score**2 - (share @ score) ** 2
    by_hand = pixels.sum() * 900 * np.sqrt((weight**2 * spread / (table.sum(axis=1) - 1)).sum())
    assert net["error_m2"] == pytest.approx(by_hand)


def test_a_sample_that_is_filled_in_is_never_refused_for_a_sliver(
    tmp_path: Path, grown: list[Path], sample: Path
) -> None:
    strata = gpd.read_file(sample, layer="strata").set_index("stratum")
    assert strata["places"]["lost"] == 0
    for area in (0.0, 1e-9, 0.7):  # what older files say of a stratum in which no place was drawn
        change(sample, f"update strata set area_m2 = {area} where stratum = 'lost'")
        fill_in(sample, grown, ("other", "lost", "gained", "kept"))
        (tmp_path / "t.gpkg").unlink(missing_ok=True)
        assert correct(tmp_path, grown, sample) == 0
        found = corrected(tmp_path / "t.gpkg")
        assert found["area_m2"].loc[["gained", "lost"]].tolist() == pytest.approx([12_500, 0], rel=1e-2)
        assert found["area_m2"]["change"] == pytest.approx(12_500, rel=1e-2)


@pytest.mark.parametrize(
    "words",
    [
        ("Other", "Lost", "GAINED ", " kept"),
        ("no village", "loss", "gain.", "Keep"),
        ("OTHERS", "demolished", "new", "remained"),
    ],
)
def test_answers_as_people_write_them(tmp_path: Path, grown: list[Path], sample: Path, words: tuple[str, ...]) -> None:
    fill_in(sample, grown, words)
    assert correct(tmp_path, grown, sample) == 0
    assert corrected(tmp_path / "t.gpkg")["area_m2"]["gained"] == pytest.approx(12_500, rel=1e-2)


def test_a_sample_of_one_layer_takes_yes_and_no(tmp_path: Path, grown: list[Path]) -> None:
    path = tmp_path / "one.gpkg"
    assert run(["sample", str(grown[0]), "--out", str(path), "--places", "120"]) == 0
    fill_in(path, grown[:1], ("No", "Yes"))
    assert correct(tmp_path, grown, path) == 0
    assert corrected(tmp_path / "t.gpkg")["area_m2"]["village"] == pytest.approx(30_000, rel=1e-2)


def test_what_is_filled_in_in_part_counts(
    tmp_path: Path, grown: list[Path], sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_in(sample, grown, ("other", "lost", "gained", "kept"), count=80)
    with pytest.warns(UserWarning, match="120 of 200 places .* have no truth yet"):
        assert correct(tmp_path, grown, sample) == 0
    assert corrected(tmp_path / "t.gpkg")["area_m2"]["gained"] == pytest.approx(12_500, rel=1e-2)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        (["update sample set truth = null"], "none of the 200 places"),
        (["update sample set truth = 'vilage' where place_id in (3, 17)"], "'vilage' (place_id 3, 17)"),
        (["update sample set truth = null where truth = 'gained'"], "0 of 50 places that the map calls gained"),
        (["update sample set place_id = 4 where place_id = 9", "update sample set truth = 'lost' where fid = 9"],
         "place_id 4 twice"),
        (["update sample set place_id = null where place_id = 5"], "1 rows of"),
        (["update sample set place_id = 7777 where place_id = 5"], "place_id 7777"),
        (["alter table sample rename column truth to verdict"], "has no column truth"),
        (["update run set value = '[\"1999-07-01\", \"2001-07-01\"]' where key = 'dates'"], "sample of 1999-07-01"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(
    tmp_path: Path, grown: list[Path], sample: Path, edits: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_in(sample, grown, ("other", "lost", "gained", "kept"))
    change(sample, *edits)
    assert correct(tmp_path, grown, sample) == 1
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "t.gpkg").exists()


def test_a_sample_of_another_day_of_the_year_is_of_that_layer(tmp_path: Path, grown: list[Path], sample: Path) -> None:
    fill_in(sample, grown, ("other", "lost", "gained", "kept"))
    change(sample, "update run set value = '[\"2012-01-01\", \"2016-01-01\"]' where key = 'dates'")
    assert correct(tmp_path, grown, sample) == 0
    assert "2012-07-01 to 2016-07-01" in gpd.read_file(tmp_path / "t.gpkg", layer="corrected")["of"][0]


def test_answers_are_never_lost(tmp_path: Path, grown: list[Path], sample: Path) -> None:
    fill_in(sample, grown, ("other", "lost", "Gained", "kept"), count=150)
    before = gpd.read_file(sample, layer="sample").dropna(subset="truth")
    again = ["sample", *map(str, grown), "--out", str(sample), "--overwrite", "--places"]
    assert run([*again, "200"]) == 0
    assert run([*again, "260"]) == 0  # more places, and those from before
    after = gpd.read_file(sample, layer="sample")
    assert len(after) == 260
    near, one = shapely.STRtree(after.geometry.to_numpy()).query_nearest(before.geometry.to_numpy())[::-1]
    assert after["truth"].to_numpy()[near].tolist() == before["truth"].to_numpy()[one].tolist()
    assert after["truth"].notna().sum() == 150
    kept = sample.read_bytes()
    other = layer(tmp_path / "c_2020.gpkg", [100, 150, 100])
    of_others = ["sample", str(grown[0]), str(other), *again[3:], "260"]
    for options in ([*again, "150"], [*again, "260", "--seed", "1"], of_others):
        assert run(options) == 4
        assert sample.read_bytes() == kept
    change(sample, "alter table sample add column note text", "update sample set note = 'a school' where place_id = 1")
    kept = sample.read_bytes()
    assert run([*again, "260"]) == 4
    assert sample.read_bytes() == kept
