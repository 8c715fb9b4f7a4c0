"""What a double click in QGIS shows of ``villages.gpkg`` and ``trends.gpkg``: layers, styles, forms, times, maps."""

import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from rasterio.transform import from_bounds

from tests.qgis.conftest import Ask
from uvsam.vectors.qgis.about import HOMES
from uvsam.vectors.qgis.columns import COLUMNS
from uvsam.vectors.qgis.styles import STYLES
from uvsam.vectors.schema import CHANGES, COVERAGE, HISTORIES, HOT_SPOTS, VILLAGES, ZONES, Layer

SIZE = (450, 450)
RENDERERS = [
    (VILLAGES, "graduatedSymbol", "confidence"), (COVERAGE, "singleSymbol", ""),
    (HISTORIES, "categorizedSymbol", "event"), (CHANGES, "categorizedSymbol", "kind"),
    (ZONES, "graduatedSymbol", "share"), (HOT_SPOTS, "graduatedSymbol", 'if("significant", "z", 0)'),
]  # fmt: skip


@pytest.fixture(scope="module")
def days(trends: Path) -> list[datetime.date]:
    return sorted(gpd.read_file(trends, layer="histories")["valid_from"].dt.date.unique())


@pytest.fixture(scope="module")
def answers(
    qgis: Ask, city: Path, villages: Path, trends: Path, sample: Path, days: list[datetime.date]
) -> dict[str, Any]:
    image = str(city / "city_2020.tif")
    with rasterio.open(image) as dataset:
        extent = list(dataset.bounds)
    layer, folder = f"{villages}|layername=villages", villages.parent
    played = [(one.name, *span) for one in (HISTORIES, CHANGES, ZONES, HOT_SPOTS) for span in _spans(days)]
    told = qgis(
        ["layers", villages],
        ["layers", trends],
        ["layers", sample],
        ["render", [image], extent, SIZE, folder / "image.png"],
        ["render", [layer, image], extent, SIZE, folder / "villages.png"],
        ["render", [f"{trends}|layername=histories"], extent, SIZE, folder / "last.png"],
        ["render", [f"{trends}|layername=histories"], extent, SIZE, folder / "first.png", *_spans(days)[0]],
        *(["playing", trends, *one] for one in played),
    )
    assert told[3:7] == [[]] * 4
    names = ("villages", "trends", "sample")
    return {**dict(zip(names, told, strict=False)), "played": dict(zip(played, told[7:], strict=True))}


def _spans(days: list[datetime.date]) -> list[tuple[str, str]]:
    """A week after each date of an image."""
    return [(f"{day}T00:00:00", f"{day + datetime.timedelta(days=7)}T00:00:00") for day in days]


def test_qgis_offers_our_layers_and_tables_and_nothing_else(answers: dict[str, Any]) -> None:
    assert list(answers["villages"]) == ["villages", "coverage", "run"]
    assert list(answers["trends"]) == [
        "histories",
        "changes",
        "hot_spots",
        "zones",
        "periods",
        "steps",
        "slopes",
        "run",
    ]


@pytest.mark.parametrize(("layer", "kind", "by"), RENDERERS, ids=[layer.name for layer, *_ in RENDERERS])
def test_a_layer_opens_as_it_was_meant(
    answers: dict[str, Any], villages: Path, trends: Path, layer: Layer, kind: str, by: str
) -> None:
    path = villages if layer in (VILLAGES, COVERAGE) else trends
    told, frame = answers[path.stem][layer.name], gpd.read_file(path, layer=layer.name)
    assert told["valid"]
    assert told["crs"] == f"EPSG:{frame.crs.to_epsg()}"
    assert told["count"] == len(frame) > 0
    assert (told["renderer"], told["by"]) == (kind, by)
    style = STYLES[layer.name]
    if by:
        assert told["classes"] == [look.label for _, look in style.classes.looks]
    assert [told["aliases"][name] for name in layer.columns] == [COLUMNS[name].alias for name in layer.columns]
    assert sorted(name for names in told["form"].values() for name in names) == sorted(layer.columns)
    assert told["title"][1].startswith("error") is False
    assert "[%" not in told["tip"]
    assert len(told["tip"]) > 10
    expected = [True, 2, "valid_from", "valid_to"] if "valid_from" in layer.columns else [False, 0, "", ""]
    assert told["temporal"] == expected


def test_the_truth_of_a_sample_is_chosen_from_its_strata(answers: dict[str, Any]) -> None:
    told = answers["sample"]["sample"]
    assert told["valid"]
    assert told["count"] >= 60
    assert [value for _, value in told["choices"]["truth"]][1:] == ["other", "village"]
    assert told["classes"] == ["to be looked at", "other", "village"]
    assert (told["shown"]["truth"], told["locked"]) == ("not looked at", ["place_id"])


def test_numbers_and_days_are_written_for_people(answers: dict[str, Any], villages: Path) -> None:
    first = gpd.read_file(villages, layer="villages").iloc[0]
    shown = answers["villages"]["villages"]["shown"]
    assert shown["area_m2"].replace(",", "") == f"{first['area_m2']:.0f}"
    assert shown["confidence"] == f"{first['confidence']:.2f}"
    assert shown["acquired"] == f"{first['acquired']:%Y-%m-%d}"
    assert answers["villages"]["villages"]["aliases"]["area_m2"] == "Area (m²)"


def test_metadata_say_what_it_is_and_how_not_to_use_it(answers: dict[str, Any], villages: Path, city: Path) -> None:
    told = answers["villages"]["villages"]["metadata"]
    frame = gpd.read_file(villages, layer="villages")
    assert told["title"] == "Urban villages and informal settlements"
    for text in ("model uvsam-specialist", "city_2020.tif", f"{frame['acquired'][0]:%Y-%m-%d}", HOMES):
        assert text in told["abstract"]
    assert told["rights"] == [HOMES]
    assert "CC BY-NC-SA" in told["licences"][0]
    assert told["crs"] == f"EPSG:{frame.crs.to_epsg()}"
    assert told["extent"][0] == pytest.approx(frame.total_bounds)
    assert told["days"][0][0].startswith(f"{frame['acquired'][0]:%Y-%m-%d}")
    history = answers["trends"]["histories"]["metadata"]
    assert "interval" in history["abstract"]
    assert [day[:4] for day in history["days"][0]] == ["2016", "2020"]


def test_the_temporal_controller_plays_one_period_at_a_time(
    answers: dict[str, Any], trends: Path, days: list[datetime.date]
) -> None:
    for name in ("histories", "changes", "zones", "hot_spots"):
        frame = gpd.read_file(trends, layer=name)
        for day, span in zip(days, _spans(days), strict=True):
            own = frame[(frame["valid_from"].dt.date <= day) & ~(frame["valid_to"].dt.date <= day)]
            assert answers["played"][(name, *span)] == len(own)


def picture(path: Path) -> np.ndarray:
    with rasterio.open(path) as image:
        return image.read([1, 2, 3]).astype(int)


def inside(frame: gpd.GeoDataFrame, city: Path, margin_m: float) -> np.ndarray:
    """Pixels of a map in polygons that grew or shrank by so much."""
    with rasterio.open(city / "city_2020.tif") as image:
        transform = from_bounds(*image.bounds, *SIZE)
    shapes = [shape for shape in frame.geometry.buffer(margin_m) if not shape.is_empty]
    return rasterize(shapes, SIZE[::-1], transform=transform).astype(bool)


@pytest.mark.usefixtures("answers")
def test_a_map_shows_villages_where_they_are_and_the_image_through_them(villages: Path, city: Path) -> None:
    frame = gpd.read_file(villages, layer="villages")
    plain, drawn = (picture(villages.with_name(f"{name}.png")) for name in ("image", "villages"))
    changed = np.abs(drawn - plain).max(axis=0) > 8
    assert changed[inside(frame, city, -6)].mean() > 0.95
    assert not changed[~inside(frame, city, 12)].any()
    # What is below is still seen: a fill of one colour would leave nothing of the image's contrast.
    ground = inside(frame, city, -10)
    assert drawn[:, ground].std() > 0.5 * plain[:, ground].std()
    outline = inside(frame, city, 4) & ~inside(frame, city, -4)
    assert changed[outline].mean() > 0.5


@pytest.mark.usefixtures("answers")
def test_a_map_shows_the_period_that_is_played_and_else_the_last_one(
    villages: Path, trends: Path, city: Path, days: list[datetime.date]
) -> None:
    frame = gpd.read_file(trends, layer="histories")
    first, last = (frame[frame["valid_from"].dt.date == day] for day in (days[0], days[-1]))
    white = np.full((3, 1), 255)
    filled = {
        name: np.abs(picture(villages.with_name(f"{name}.png")).reshape(3, -1) - white).max(axis=0).reshape(SIZE[::-1])
        for name in ("first", "last")
    }
    only_first = inside(first, city, -8) & ~inside(last, city, 12)
    only_last = inside(last, city, -8) & ~inside(first, city, 12)
    assert only_first.sum() + only_last.sum() > 50
    for where, shown, hidden in ((only_first, "first", "last"), (only_last, "last", "first")):
        if where.any():
            assert filled[shown][where].mean() > 3 * filled[hidden][where].mean()
    assert filled["first"][inside(first, city, -8)].min() > 10
    assert filled["last"][inside(last, city, -8)].min() > 10


def test_no_village_is_a_styled_layer_too(qgis: Ask, tmp_path: Path) -> None:
    from uvsam.vectors.geopackage import write_villages
    from uvsam.vectors.schema import make_frame

    nothing = np.empty(0, object)
    empty = [
        make_frame(layer, nothing, None, dict.fromkeys(layer.columns)) for layer in (VILLAGES, COVERAGE)
    ]  # an image without a place on earth, either
    write_villages(tmp_path / "none.gpkg", *empty, {})
    (told,) = qgis(["layers", tmp_path / "none.gpkg"])
    assert told["villages"]["valid"]
    assert told["villages"]["count"] == 0
    assert told["villages"]["renderer"] == "graduatedSymbol"
    assert told["villages"]["metadata"]["title"] == "Urban villages and informal settlements"
    assert told["villages"]["metadata"]["extent"] == []
