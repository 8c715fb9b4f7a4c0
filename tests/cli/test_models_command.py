"""``uvsam models`` shows what a card says, and gets and checks the weights that belong to it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.catalog.web import File, Site, serve
from uvsam.catalog import list_cards, load_any_card
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


def invoke(*args: str) -> Result:
    return CliRunner().invoke(command, list(args))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UVSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("args", [[], ["list"]])
def test_every_model_is_listed_with_its_weights_and_licence(args: list[str]) -> None:
    lines = dict(line.split(": ", 1) for line in invoke(*args).stdout.splitlines())
    assert sorted(lines) == list_cards(None)
    for name, line in lines.items():
        card = load_any_card(name)
        assert line.startswith(card.summary)
        assert card.licence in line
    assert "(bundled, " in lines["uvsam-specialist"]
    assert "(bundled, " in lines["uvsam-tiny"]
    assert "(to be fetched, 41 MB; " in lines["mobile-sam"]


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CARD % ("a" * 64))
    lines = invoke("show", str(path)).stdout.splitlines()
    assert "network     unet over mit_b1" in lines
    assert "resolution  0.9 m per pixel" in lines
    assert lines[lines.index("trained on  images of 2019") + 1] == "            labels of 2020"
    start = lines.index("quality     pixel IoU")
    assert [line.strip() for line in lines[start + 1 : start + 5]] == [
        "0.710  the other half", "0.400  another city", "calibration error", "0.017  both halves",
    ]  # fmt: skip


def test_an_unknown_model_is_an_error_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", "nothing"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("Error: ")
    assert errors.count("\n") == 1
    assert "nothing" in errors


def test_the_card_of_a_published_model_says_where_it_comes_from() -> None:
    lines = invoke("show", "sam-vit-b").stdout.splitlines()
    assert "weights     to be fetched, 375 MB" in lines
    assert any(line.startswith("from        https://dl.fbaipublicfiles.com/") for line in lines)
    assert any(line.startswith("cite        Kirillov") for line in lines)
    assert any("Not compared with a download" in line for line in lines)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A site that has a model of 2 MB, and the path of its card."""
    weights = bytes(range(250)) * 8000
    with serve() as site:
        site.files["/mine.pth"] = File(weights)
        path = tmp_path / "mine.yaml"
        path.write_text(
            "{name: mine, task: generalist, summary: a test, encoder: vit_b, licence: CC0, source: {"
            f"url: '{site.address}/mine.pth', bytes: {len(weights)}, sha256: {hashlib.sha256(weights).hexdigest()}}}}}"
        )
        yield site, str(path)


def test_weights_are_fetched_to_the_folder_of_the_environment(
    published: tuple[Site, str], cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site, card = published
    assert run(["models", "fetch", card, "uvsam-specialist"]) == 0
    said = capfd.readouterr()
    fetched, bundled = (Path(line) for line in said.out.splitlines())
    assert (fetched.parent, fetched.read_bytes()) == (cache, site.files["/mine.pth"].data)
    assert bundled.name == "uvsam-specialist.safetensors"
    assert "mine (MB): 2/2 (100 %)" in said.err
    assert "weights  fetched, 2 MB" in invoke("show", card).stdout.splitlines()


def test_quiet_says_where_the_file_is_and_nothing_else(
    published: tuple[Site, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "fetch", "-q", published[1]]) == 0
    said = capfd.readouterr()
    assert (said.out.count("\n"), said.err) == (1, "")


def test_a_failed_fetch_is_an_error_of_one_line(published: tuple[Site, str], capfd: pytest.CaptureFixture[str]) -> None:
    site, card = published
    site.files.clear()
    assert run(["models", "fetch", card]) == 1
    errors = capfd.readouterr().err
    assert errors.startswith("Error: cannot fetch from 127.0.0.1: 404")
    assert errors.count("\n") == 1


def test_fetch_needs_a_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "fetch"]) == 2
    assert "NAME" in capfd.readouterr().err


def test_verify_finds_the_damaged_file(
    published: tuple[Site, str], cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = published[1]
    assert run(["models", "verify"]) == 0
    assert capfd.readouterr().out.startswith("uvsam-specialist: right")
    assert run(["models", "verify", card]) == 1
    assert "not here" in capfd.readouterr().out
    run(["models", "fetch", card])
    assert run(["models", "verify", card]) == 0
    next(cache.glob("mine-*.pth")).write_bytes(b"something else")
    capfd.readouterr()
    assert run(["models", "verify", "uvsam-specialist", card]) == 1
    said = capfd.readouterr()
    right, wrong = said.out.splitlines()
    assert right.startswith("uvsam-specialist: right")
    assert "damaged" in wrong
    assert said.err == "Error: 1 of 2 models cannot be used as they are\n"
