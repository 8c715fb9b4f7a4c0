"""The project of ``uvsam review`` in real QGIS: it opens, shows what it should, and keeps what a person says."""

import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from tests.qgis.conftest import Ask
from uvsam.cli.main import run
from uvsam.vectors.schema import VERDICTS


@pytest.fixture(scope="module")
def folder(city: Path, villages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything in one folder, which was moved since: paths are relative."""
    made, moved = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("moved") / "für Anna"
    shutil.copy(villages, made / "villages.gpkg")
    shutil.copy(city / "city_2020.tif", made / "city.tif")
    arguments = ["--image", str(made / "city.tif"), "--out", str(made / "review.qgz")]
    assert run(["review", str(made / "villages.gpkg"), *arguments]) == 0
    shutil.move(made, moved)
    return moved


@pytest.fixture(scope="module")
def told(qgis: Ask, folder: Path) -> dict[str, Any]:
    (found,) = qgis(["project", folder / "review.qgz", folder / "map.png", [400, 400]])
    answer: dict[str, Any] = found
    return answer


def test_it_opens_with_image_villages_and_places(told: dict[str, Any], folder: Path) -> None:
    assert told["order"] == ["corrections", "villages", "image city"]
    layers = told["layers"]
    assert all(layer["valid"] for layer in layers.values())
    assert all(str(folder) in layer["source"] for layer in layers.values())
    assert {layer["crs"] for layer in layers.values()} == {told["crs"]} == {"EPSG:32650"}
    count = len(gpd.read_file(folder / "villages.gpkg", layer="villages"))
    assert (layers["villages"]["count"], layers["villages"]["read_only"]) == (count, True)
    assert (layers["corrections"]["count"], layers["corrections"]["read_only"]) == (count, False)
    assert told["themes"] == {"Corrections": told["order"], "Image alone": ["image city"]}
    assert told["snapping"] == [True, 12.0]
    with rasterio.open(folder / "city.tif") as image:
        assert told["extent"] == pytest.approx(list(image.bounds))


def test_a_verdict_is_chosen_and_the_rest_is_locked(told: dict[str, Any]) -> None:
    corrections = told["layers"]["corrections"]
    assert (corrections["renderer"], corrections["by"]) == ("categorizedSymbol", "verdict")
    assert len(corrections["classes"]) == 1 + len(VERDICTS)
    assert corrections["widgets"]["verdict"] == "ValueMap"
    assert [value for _, value in corrections["choices"]["verdict"]][1:] == list(VERDICTS)
    assert corrections["shown"]["verdict"] == "not looked at"
    assert set(corrections["locked"]) == {"place_id", "rank", "doubt", "kind", "village_id"}
    assert corrections["form"]["Your verdict"] == ["verdict", "note", "looked_at"]
    assert corrections["sort"] == '"rank"'
    assert corrections["labels"]


def test_the_map_shows_the_image_and_every_place(told: dict[str, Any], folder: Path) -> None:
    assert told["errors"] == []
    with rasterio.open(folder / "map.png") as drawn, rasterio.open(folder / "city.tif") as image:
        map_, ground = drawn.read([1, 2, 3]).astype(int), image.read(out_shape=(3, 400, 400)).astype(int)
        places = gpd.read_file(folder / "review.gpkg", layer="corrections")
        x, y = ~(image.transform * image.transform.scale(image.width / 400)) * (
            shapely.get_coordinates(places.geometry.representative_point()).T
        )
    assert np.corrcoef(map_.ravel(), ground.ravel())[0, 1] > 0.8  # nothing is hidden
    at = map_[:, y.astype(int), x.astype(int)]
    assert at.shape[1] == len(places)
    yellow = np.array([240, 228, 66])[:, None, None]  # the colour of what nobody looked at
    assert (np.abs(map_ - yellow).max(axis=0) < 40).sum() > 100


def test_what_a_person_says_and_draws_is_saved_and_survives_the_next_review(qgis: Ask, folder: Path) -> None:
    with rasterio.open(folder / "city.tif") as image:
        drawn = shapely.box(
            image.bounds.left + 20, image.bounds.bottom + 20, image.bounds.left + 60, image.bounds.bottom + 50
        )
    qgis(["edit", folder / "review.qgz", "corrections", 1, "wrong", drawn.wkt])
    saved = gpd.read_file(folder / "review.gpkg", layer="corrections")
    first, new = saved[saved["rank"] == 1].iloc[0], saved[saved["rank"].isna()].iloc[0]
    assert first["verdict"] == "wrong"
    assert not saved.loc[saved["verdict"].notna(), "looked_at"].isna().any()  # the day is filled in by itself
    assert (new["verdict"], new["kind"]) == ("missed", "drawn")
    assert new["place_id"] == saved["place_id"].max()
    assert new.geometry.equals(drawn)

    arguments = ["--image", str(folder / "city.tif"), "--out", str(folder / "review.qgz"), "--overwrite"]
    assert run(["review", str(folder / "villages.gpkg"), *arguments]) == 0
    again = gpd.read_file(folder / "review.gpkg", layer="corrections")
    assert len(again) == len(saved)
    assert again["rank"].tolist() == list(range(1, len(again) + 1))
    kept = again[again["verdict"].notna()]
    assert sorted(kept["verdict"]) == ["missed", "wrong"]
    assert kept["rank"].min() > again.loc[again["verdict"].isna(), "rank"].max()
    assert kept.loc[kept["verdict"] == "missed"].iloc[0].geometry.equals(drawn)
