"""Trends through the command line: layers, tables, and what goes wrong."""

import json
import os
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from uvsam.cli.main import run
from uvsam.vectors.geopackage import read_run
from uvsam.vectors.schema import CHANGES, HISTORIES, HOT_SPOTS, ZONES, check_schema

YEARS = (2016, 2020)


@pytest.fixture(scope="module")
def result(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trends")
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    middle = truth.to_crs(4326).geometry.union_all().centroid
    left, bottom, right, top = truth.total_bounds
    halves = [shapely.box(left, bottom, middle_x := (left + right) / 2, top), shapely.box(middle_x, bottom, right, top)]
    gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=truth.crs).to_file(folder / "zones.gpkg")
    out = folder / "trends.gpkg"
    arguments = ["trends", str(city / "truth.gpkg"), "--out", str(out), "--zones", str(folder / "zones.gpkg")]
    arguments += ["--tables", str(folder / "tables")]
    arguments += ["--centre", f"{middle.x},{middle.y}", "--rings-km", "0.2,5", "--cell-m", "100", "--workers", "2"]
    assert run(arguments) == 0
    return out


def test_every_layer_is_there_and_plays_in_time(result: Path, city: Path) -> None:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    years = sorted(truth["period"].unique())
    for layer in (HISTORIES, CHANGES, ZONES, HOT_SPOTS):
        frame = gpd.read_file(result, layer=layer.name)
        check_schema(frame, layer)
        assert frame.crs == truth.crs
        assert shapely.is_valid(frame.geometry).all()
        assert set(frame["valid_from"].dt.year) <= set(years)
        ends = frame["valid_to"].dropna()
        assert (ends > frame["valid_from"].loc[ends.index]).all()
    histories = gpd.read_file(result, layer="histories")
    assert len(histories) == len(truth)
    assert histories["area_m2"].sum() == pytest.approx(truth.geometry.area.sum(), rel=2e-3)
    assert (
        (histories["area_low_m2"] < histories["area_m2"]) & (histories["area_m2"] < histories["area_high_m2"])
    ).all()
    assert set(histories["event"]) == set(truth["event"])
    assert not [path for path in result.parent.iterdir() if path.name.startswith(".")]


def test_zones_hold_all_villages_in_every_period(result: Path) -> None:
    zones = gpd.read_file(result, layer="zones")
    histories = gpd.read_file(result, layer="histories")
    for date, own in zones.groupby("valid_from"):
        area = histories.loc[histories["valid_from"] == date, "area_m2"].sum()
        for names in (["west", "east"], ["0 to 0.2 km", "0.2 to 5 km"]):
            held = own[own["zone"].isin(names)]
            assert len(held) == 2
            assert held["area_m2"].sum() == pytest.approx(area, rel=1e-3)
            assert held["villages"].sum() == (histories["valid_from"] == date).sum()


def test_the_tables_say_how_they_were_made(result: Path) -> None:
    told = read_run(result)
    assert told["tolerance_m"] == "3.0"
    assert len(json.loads(told["shifts"])) == len(gpd.read_file(result, layer="periods"))
    steps = gpd.read_file(result, layer="steps")
    balance = steps["before_m2"] + steps["gained_m2"] - steps["lost_m2"] + steps["border_m2"]
    assert balance.tolist() == pytest.approx(steps["after_m2"].tolist())


def test_a_sample_that_was_filled_in_corrects_the_areas(city: Path, tmp_path: Path) -> None:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    years = sorted(truth["period"].unique())[-2:]
    layers = {year: truth[truth["period"] == year] for year in years}
    ground = shapely.box(*truth.total_bounds).buffer(100)
    gpd.GeoDataFrame(geometry=[ground], crs=truth.crs).to_file(tmp_path / "aoi.gpkg")
    paths = []
    for year, own in layers.items():  # maps that miss a village in the later year
        paths.append(str(tmp_path / f"map_{year}.gpkg"))
        kept = own.iloc[1:] if year == years[1] else own
        kept[["acquired", "geometry"]].to_file(paths[-1])
    drawn, out = tmp_path / "sample.gpkg", tmp_path / "t.gpkg"
    arguments = ["--aoi", str(tmp_path / "aoi.gpkg"), "--places", "600", "--least", "80"]
    assert run(["sample", *paths, "--out", str(drawn), *arguments]) == 0
    assert run(["trends", *paths, "--out", str(out), "--no-align", "--reference", str(drawn)]) == 1  # nothing filled in

    sample = gpd.read_file(drawn, layer="sample")
    was, now = (sample.within(layers[year].union_all()).to_numpy() for year in years)
    sample["truth"] = [("other", "lost", "gained", "kept")[a + 2 * b] for a, b in zip(was, now, strict=True)]
    others = {name: gpd.read_file(drawn, layer=name) for name in ("drawn", "strata", "run")}
    drawn.unlink()
    sample.to_file(drawn, layer="sample")
    for name, table in others.items():
        pyogrio.write_dataframe(table, drawn, layer=name, append=True)
    assert run(["trends", *paths, "--out", str(out), "--no-align", "--reference", str(drawn)]) == 0

    corrected = gpd.read_file(out, layer="corrected")
    change = corrected[corrected["of"].str.startswith("change")].iloc[0]
    true = layers[years[1]].area.sum() - layers[years[0]].area.sum()
    assert change["low_m2"] <= true <= change["high_m2"]
    assert abs(change["area_m2"] - true) < abs(change["mapped_m2"] - true)


def test_tidy_tables_are_the_layers_without_outlines(result: Path) -> None:
    folder = result.parent / "tables"
    assert {path.name for path in folder.iterdir()} == {
        "histories.parquet", "changes.parquet", "periods.csv", "steps.csv", "slopes.csv", "zones.csv",
    }  # fmt: skip
    for name in ("histories", "changes"):
        tidy, layer = pd.read_parquet(folder / f"{name}.parquet"), gpd.read_file(result, layer=name)
        assert list(tidy.columns) == [column for column in layer.columns if column != "geometry"]
        assert tidy["area_m2"].tolist() == pytest.approx(layer["area_m2"].tolist())
        assert (tidy["valid_from"].dt.date == layer["valid_from"].dt.date).all()
    assert pd.read_csv(folder / "steps.csv")["gained_m2"].tolist() == pytest.approx(
        gpd.read_file(result, layer="steps")["gained_m2"].tolist()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rings-km", "2,4"], "rings need a centre"),
        (["--rings-km", "4,2", "--centre", "9,51"], "must rise"),
        (["--centre", "190,2"], "not a place"),
        (["--dates", "2012,20x6"], "neither a year nor a day"),
        (["--dates", "2012,2016"], "2 dates for 1 files"),
        (["--dask", "tcp://127.0.0.1:1"], "no Dask scheduler answers"),
        (["--reference", "nowhere.gpkg"], "nowhere.gpkg does not exist"),
        (["--zones", "nowhere.gpkg"], "nowhere.gpkg does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    city: Path, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("uvsam.engine.executors.CONNECT_S", 1)
    out = tmp_path / "t.gpkg"
    assert run(["trends", str(city / "truth.gpkg"), "--out", str(out), *options]) != 0
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unless_it_shall_be(city: Path, result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = result.read_bytes()
    assert run(["trends", str(city / "truth.gpkg"), "--out", str(result)]) == 4
    assert "exists" in capsys.readouterr().err
    assert result.read_bytes() == before


def test_images_are_predicted_first_and_once(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": "then", "properties": {"datetime": "2016-05-03T00:00:00Z"},
        "assets": {"image": {"href": str(city / "city_2016.tif"), "type": "image/tiff"}},
    }  # fmt: skip
    (tmp_path / "city_2016.json").write_text(json.dumps(item))
    images = [str(tmp_path / "city_2016.json"), str(city / "city_2020.tif")]
    out = tmp_path / "t.gpkg"
    assert run(["trends", *images, "--out", str(out)]) == 0
    kept = tmp_path / "t_villages"
    assert sorted(path.name for path in kept.iterdir()) == [f"city_{year}.gpkg" for year in YEARS]
    assert read_run(kept / f"city_{YEARS[0]}.gpkg")["inputs"] == json.dumps([images[0]])
    histories = gpd.read_file(out, layer="histories")
    assert sorted(histories["valid_from"].dt.year.unique()) == list(YEARS)
    told = json.loads(read_run(out)["shifts"])
    assert told[1]["told_from"] == "windows of the images"
    assert abs(told[1]["east_m"]) < 0.3

    times = [path.stat().st_mtime_ns for path in sorted(kept.iterdir())]
    assert run(["trends", *images, "--out", str(out), "--overwrite"]) == 0
    assert [path.stat().st_mtime_ns for path in sorted(kept.iterdir())] == times
    again = ["trends", images[1], images[0], "--out", str(tmp_path / "u.gpkg"), "--predictions", str(kept)]
    os.utime(kept / "city_2016.gpkg", (0, 0))  # the image may have been changed since
    assert run(again) == 4
    assert "is there already" in capsys.readouterr().err
