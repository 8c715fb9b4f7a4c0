"""The page of a trend: complete, alone, and seen by a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from PIL import Image

from uvsam.cli.main import run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    middle = gpd.read_file(city / "truth.gpkg", layer="villages").to_crs(4326).geometry.union_all().centroid
    place = ["--centre", f"{middle.x},{middle.y}", "--rings-km", "0.2,1"]
    out = ["--out", str(folder / "t.gpkg"), "--report", str(folder / "t.html")]
    assert run(["trends", str(city / "truth.gpkg"), *out, *place]) == 0
    return folder / "t.html"


def test_the_page_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|iframe|img)\b", text)
    loaded = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", text)
    assert all(target.startswith(("#", "data:")) for target in loaded), loaded
    assert text.count("<svg") == 4
    for said in ("How much", "What happened", "Where", "Alignment", "How it was made, and what it cannot say"):
        assert said in text


def test_the_numbers_of_the_page_are_those_of_the_layers(page: Path) -> None:
    histories = gpd.read_file(page.with_suffix(".gpkg"), layer="histories")
    text = page.read_text(encoding="utf-8")
    for _, own in histories.groupby("valid_from"):
        assert f"<td>{own['area_m2'].sum() / 1e4:,.2f}</td>" in text
        assert f"<td>{len(own)}</td>" in text


def test_no_page_where_none_can_be_written(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "t.gpkg"), "--report", str(tmp_path / "t.pdf")]
    assert run(["trends", str(city / "truth.gpkg"), *out]) == 4
    assert ".html" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1000,3200", f"--screenshot={picture}",
    ]  # fmt: skip
    subprocess.run([str(CHROMIUM), *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    colourful = (pixels.max(axis=-1) - pixels.min(axis=-1)) > 60
    dark = pixels.max(axis=-1) < 100
    assert colourful.mean() > 0.005  # map and bars
    assert 0.005 < dark.mean() < 0.2  # text
    rows = np.flatnonzero(dark.any(axis=1))
    assert rows.max() - rows.min() > 2000  # from the title to the last line
