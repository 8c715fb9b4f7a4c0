"""``uvsam models`` shows what a card says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from uvsam.catalog import list_cards, load_card
from uvsam.cli.main import run
from uvsam.cli.models import command

CARD = """
name: mine
summary: villages of one city
network: {arch: unet, encoder: mit_b1}
gsd_m: 0.9
weights: mine.safetensors
sha256: %s
licence: CC-BY-4.0
trained_on: [images of 2019, labels of 2020]
quality:
- {measure: pixel IoU, tested_on: the other half, value: 0.71, command: make quality}
- {measure: calibration error, tested_on: both halves, value: 0.01664, command: make quality}
- {measure: pixel IoU, tested_on: another city, value: 0.4, command: make quality}
"""


def test_every_bundled_model_is_listed_with_its_licence() -> None:
    listing = CliRunner().invoke(command, []).stdout
    for name in list_cards():
        assert f"{name}: {load_card(name).summary}" in listing
        assert load_card(name).licence in listing


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CARD % ("a" * 64))
    lines = CliRunner().invoke(command, [str(path)]).stdout.splitlines()
    assert "network     unet over mit_b1" in lines
    assert "resolution  0.9 m per pixel" in lines
    assert lines[lines.index("trained on  images of 2019") + 1] == "            labels of 2020"
    start = lines.index("quality     pixel IoU")
    assert [line.strip() for line in lines[start + 1 : start + 5]] == [
        "0.710  the other half", "0.400  another city", "calibration error", "0.017  both halves",
    ]  # fmt: skip


def test_an_unknown_model_is_an_error_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "nothing"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("Error: ")
    assert errors.count("\n") == 1
    assert "nothing" in errors
