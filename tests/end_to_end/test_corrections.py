"""The way from a map through a person's verdicts to a model that was trained on them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from uvsam.cli.main import run
from uvsam.errors import LabelError
from uvsam.training.config import Source
from uvsam.training.data import open_source
from uvsam.vectors.corrections import SEEN_M, read_corrections, reviewed_images


@pytest.fixture(scope="module")
def folder(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A review of a map, without a verdict yet."""
    folder = tmp_path_factory.mktemp("corrections")
    image, villages = city / "city_2020.tif", folder / "villages.gpkg"
    assert run(["predict", str(image), "--model", "uvsam-specialist", "--out", str(villages), "-q"]) == 0
    assert run(["review", str(villages), "--image", str(image), "--out", str(folder / "review.qgz"), "-q"]) == 0
    return folder


def with_verdicts(folder: Path, path: Path, verdicts: list[str | None], **drawn: shapely.Geometry) -> gpd.GeoDataFrame:
    """A copy of the review beside the map, its first rows with verdicts; ``drawn`` takes the place of an outline."""
    path.write_bytes((folder / "review.gpkg").read_bytes())
    rows = gpd.read_file(path, layer="corrections")
    for row, verdict in enumerate(verdicts):
        rows.loc[row, "verdict"] = verdict
    for name, outline in drawn.items():
        if name == "missed":
            new = gpd.GeoDataFrame({"place_id": [99], "kind": ["perhaps missed"]}, geometry=[outline], crs=rows.crs)
            rows = pd.concat([rows, new], ignore_index=True)
        else:
            rows.loc[int(name.removeprefix("row_")), "geometry"] = outline
    rows.to_file(path, layer="corrections")
    return rows


def test_labels_are_the_map_as_it_was_corrected(folder: Path, city: Path, tmp_path: Path) -> None:
    villages = gpd.read_file(folder / "villages.gpkg", layer="villages")
    first = gpd.read_file(folder / "review.gpkg", layer="corrections")
    assert len(first) == len(villages) >= 4
    moved = shapely.buffer(first.geometry[2], -5)
    path = tmp_path / "review.gpkg"
    missed = shapely.box(*first.total_bounds[:2], *(first.total_bounds[:2] + 60))
    rows = with_verdicts(folder, path, ["correct", "wrong", "redraw"], row_2=moved, missed=missed)
    others = villages[~villages["village_id"].isin(rows["village_id"][:3])].geometry
    labels = read_corrections(path)
    assert labels.seen is not None
    assert labels.unknown is not None
    assert shapely.equals(labels.villages.polygons, [*others, rows.geometry[0], moved]).all()
    assert shapely.equals(labels.unknown.polygons, missed).all()
    seen = shapely.union_all(labels.seen.polygons)
    assert seen.area == pytest.approx(rows.geometry[:3].buffer(SEEN_M).union_all().area, rel=0.01)

    image = reviewed_images(path)[0]
    assert image == city / "city_2020.tif"
    data = open_source(Source(name="review", images=image, labels=path))
    sample = data[data.bounds]
    cell = data.res[0] * data.res[1]
    frame = shapely.box(*np.array([(x.start, x.stop) for x in data.bounds[:2]]).T.ravel())
    village = sample["mask"].numpy().astype(bool)
    assert village.sum() * cell == pytest.approx(shapely.union_all(labels.villages.polygons).area, rel=0.02)
    assert int(sample["labelled"].sum()) * cell == pytest.approx(frame.difference(missed).area, rel=0.02)
    assert int(sample["seen"].sum()) * cell == pytest.approx(seen.intersection(frame).area, rel=0.02)


def test_a_village_of_the_map_beside_a_place_is_one(folder: Path, tmp_path: Path) -> None:
    rows = gpd.read_file(folder / "review.gpkg", layer="corrections")
    few = rows.iloc[:1].assign(verdict="wrong")
    path = tmp_path / "review.gpkg"
    path.write_bytes((folder / "review.gpkg").read_bytes())
    few.to_file(path, layer="corrections")
    villages = gpd.read_file(folder / "villages.gpkg", layer="villages")
    left = villages[villages["village_id"] != few["village_id"].iloc[0]]
    assert len(left) == len(villages) - 1
    assert shapely.equals(read_corrections(path).villages.polygons, left.geometry.to_numpy()).all()


def test_a_model_learns_from_verdicts(folder: Path, city: Path, tmp_path: Path) -> None:
    path = tmp_path / "review.gpkg"
    with_verdicts(folder, path, ["correct", "wrong", "correct"])
    output = tmp_path / "run"
    assert run(["train", "specialist", "--labels", str(path), "--steps", "1", "--output", str(output), "-q"]) == 0
    card, out = output / "corrected.yaml", tmp_path / "better.gpkg"
    assert run(["predict", str(city / "city_2020.tif"), "--model", str(card), "--out", str(out), "-q"]) == 0


@pytest.mark.parametrize(
    ("verdicts", "told"), [([], "no verdict yet"), (["perhaps"], "'perhaps'"), (["wrong"], "put it beside")]
)
def test_what_is_no_review_yet_is_told(folder: Path, tmp_path: Path, verdicts: list[str | None], told: str) -> None:
    path = tmp_path / "review.gpkg"
    with_verdicts(folder, path, verdicts)
    if told == "put it beside":
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE run SET value = '/nowhere/villages.gpkg' WHERE key = 'villages'")
    with pytest.raises(LabelError, match=told):
        read_corrections(path)


def test_training_needs_a_file_or_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "specialist"]) == 2
    assert "--labels" in capsys.readouterr().err


def test_villages_may_have_names_and_their_layer_another_one(folder: Path, city: Path, tmp_path: Path) -> None:
    villages = gpd.read_file(folder / "villages.gpkg", layer="villages")
    villages["village_id"] = [f"A-{number}" for number in villages["village_id"]]
    villages["confidence"] = [f"{100 * one:.2f} %" for one in villages["confidence"]]
    named = tmp_path / "named.gpkg"
    villages.to_file(named, layer="in 2020")
    review = ["review", f"{named}|layername=in 2020", "--image", str(city / "city_2020.tif")]
    assert run([*review, "--out", str(tmp_path / "a.qgz")]) == 0
    rows = gpd.read_file(tmp_path / "a.gpkg", layer="corrections")
    assert set(rows["village_id"]) == set(villages["village_id"])
    rows.loc[0, "verdict"] = "wrong"
    rows.to_file(tmp_path / "a.gpkg", layer="corrections")
    others = villages[villages["village_id"] != rows["village_id"][0]].geometry
    assert shapely.equals(read_corrections(tmp_path / "a.gpkg").villages.polygons, others.to_numpy()).all()
    assert run([*review, "--out", str(tmp_path / "a.qgz"), "--overwrite"]) == 0
    again = gpd.read_file(tmp_path / "a.gpkg", layer="corrections")
    assert again.set_index("village_id")["verdict"].dropna().to_dict() == {rows["village_id"][0]: "wrong"}


@pytest.mark.parametrize(("ids", "told"), [([1, 1], "is 1 twice"), ([1, None], "is empty in some rows")])
def test_villages_without_a_number_of_their_own_are_told(
    folder: Path, city: Path, tmp_path: Path, ids: list[int | None], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    villages = gpd.read_file(folder / "villages.gpkg", layer="villages").iloc[:2].assign(village_id=ids)
    villages.to_file(tmp_path / "v.gpkg", layer="villages")
    review = ["review", str(tmp_path / "v.gpkg"), "--image", str(city / "city_2020.tif")]
    assert run([*review, "--out", str(tmp_path / "a.qgz")]) == 1
    assert f"village_id of layer villages of {tmp_path / 'v.gpkg'} {told}" in capsys.readouterr().err


def test_a_map_that_a_review_names_is_looked_at_before_it_is_opened(folder: Path, tmp_path: Path) -> None:
    with_verdicts(folder, tmp_path / "review.gpkg", ["correct"])
    (tmp_path / "map.gpkg").write_text("<OGRWFSDataSource><URL>http://127.0.0.1:1</URL></OGRWFSDataSource>")
    with closing(sqlite3.connect(tmp_path / "review.gpkg")) as database, database:
        database.execute("UPDATE run SET value = ? WHERE key = 'villages'", [str(tmp_path / "map.gpkg")])
    with pytest.raises(LabelError, match="describes OGRWFSDataSource"):
        read_corrections(tmp_path / "review.gpkg")
