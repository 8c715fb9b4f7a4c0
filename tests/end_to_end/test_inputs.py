"""``uvsam predict`` and ``uvsam info`` on several files and on STAC items: the result is that of the whole image."""

import json
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from rasterio.windows import Window

from uvsam.cli.main import run
from uvsam.vectors.geopackage import read_run

QUICK = ["--model", "uvsam-specialist"]


@pytest.fixture(scope="module")
def pieces(city: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A simulated city cut into four files of different sizes, not in the order of their places."""
    folder = tmp_path_factory.mktemp("pieces")
    with rasterio.open(city / "city_2020.tif") as image:
        bottom, right = image.height - 421, image.width - 613
        windows = [
            Window(613, 421, right, bottom), Window(0, 0, 613, 421), Window(0, 421, 613, bottom),
            Window(613, 0, right, 421),
        ]  # fmt: skip
        for number, window in enumerate(windows):
            size = {"width": window.width, "height": window.height, "transform": image.window_transform(window)}
            with rasterio.open(folder / f"{number}.tif", "w", **(image.profile | size)) as piece:
                piece.write(image.read(window=window))
                piece.update_tags(**image.tags())
    return [str(folder / f"{number}.tif") for number in range(4)]


def test_a_city_in_pieces_has_the_villages_of_the_whole(city: Path, pieces: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.gpkg", tmp_path / "parts.gpkg"
    scores = [tmp_path / "whole.tif", tmp_path / "parts.tif"]
    for images, out, kept in (([str(city / "city_2020.tif")], whole, scores[0]), (pieces, parts, scores[1])):
        assert run(["predict", *images, "--out", str(out), "--save-scores", str(kept), *QUICK]) == 0
    with rasterio.open(scores[0]) as one, rasterio.open(scores[1]) as other:
        assert one.transform == other.transform
        assert (one.read() == other.read()).all()
    for layer in ("villages", "coverage"):
        frames = [gpd.read_file(path, layer=layer).to_wkb() for path in (whole, parts)]
        assert len(frames[0]) > 0
        assert frames[0].equals(frames[1])
    told = [read_run(path) for path in (whole, parts)]
    assert json.loads(told[1]["inputs"]) == pieces
    assert json.loads(told[1]["files"]) == pieces
    for name in ("input_size_px", "input_transform", "acquired", "tiles"):
        assert told[0][name] == told[1][name]


def test_workers_open_what_an_item_names(city: Path, pieces: list[str], tmp_path: Path) -> None:
    day = {"datetime": "2020-02-03T04:05:06Z"}
    features = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": str(number), "properties": day,
            "assets": {"visual": {"href": piece, "type": "image/tiff"}},
        }
        for number, piece in enumerate(pieces[1:3])
    ]  # fmt: skip
    items, out = tmp_path / "items.json", tmp_path / "out.gpkg"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert run(["predict", str(items), "--out", str(out), "--workers", "1", *QUICK]) == 0
    coverage = gpd.read_file(out, layer="coverage")
    with rasterio.open(pieces[1]) as top, rasterio.open(pieces[2]) as bottom:
        assert coverage.total_bounds.tolist() == [*bottom.bounds[:2], *top.bounds[2:]]
    assert str(coverage["acquired"].iloc[0]).startswith("2020-02-03")
    told = read_run(out)
    assert (json.loads(told["inputs"]), json.loads(told["files"])) == ([str(items)], pieces[1:3])


def test_info_tells_of_all_files(pieces: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", *pieces, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["size_px"] == [1000, 1000]
    assert info["uri"] == f"{pieces[0]} and 3 more"


def test_mistakes_are_one_line_and_leave_nothing_behind(
    pieces: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.tif"
    moved.write_bytes(Path(pieces[0]).read_bytes())
    with rasterio.open(moved, "r+") as dataset:
        dataset.transform = dataset.transform.translation(0.4, 0) @ dataset.transform
    before = {path: path.read_bytes() for path in (*map(Path, pieces), moved)}
    out = tmp_path / "out.gpkg"
    for arguments, status, words in (
        ([pieces[0], str(moved)], 1, "0.44 px beside"),
        ([pieces[0], "nowhere.tif"], 1, "nowhere.tif does not exist"),
        ([*pieces, "--save-scores", pieces[2], "--overwrite"], 4, "is an input of this run"),
        ([*pieces, "--asset", "visual"], 1, "STAC"),
    ):
        assert run(["predict", *arguments, "--out", str(out)]) == status
        errors = [line for line in capsys.readouterr().err.splitlines() if "Error" in line]
        assert len(errors) == 1
        assert words in errors[0]
    assert {path: path.read_bytes() for path in before} == before
    assert list(tmp_path.iterdir()) == [moved]
