"""A map and a trend as users make them, and QGIS to open them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uvsam.cli.main import run

PROBE = Path(__file__).with_name("probe.py")
Ask = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def villages(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``villages.gpkg`` and ``scores.tif`` of a predicted city."""
    out = tmp_path_factory.mktemp("für QGIS") / "villages.gpkg"
    arguments = ["--model", "uvsam-specialist", "--save-scores", str(out.with_name("scores.tif"))]
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(out), *arguments]) == 0
    return out


@pytest.fixture(scope="session")
def trends(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``trends.gpkg`` of the true villages of a city, with every layer there is."""
    out = tmp_path_factory.mktemp("trends") / "trends.gpkg"
    where = ["--centre", "116.303,39.923", "--rings-km", "0.3,5", "--cell-m", "60"]
    assert run(["trends", str(city / "truth.gpkg"), "--out", str(out), *where]) == 0
    return out


@pytest.fixture(scope="session")
def sample(villages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sample.gpkg`` of the predicted city."""
    out = tmp_path_factory.mktemp("sample") / "sample.gpkg"
    assert run(["sample", str(villages), "--out", str(out), "--places", "60", "--least", "10"]) == 0
    return out


@pytest.fixture(scope="session")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Ask QGIS: ``qgis([task, *arguments], ...)`` gives the answers of ``probe.py``, of one process."""
    python = os.environ.get("UVSAM_QGIS_PYTHON") or shutil.which("python3", path="/usr/bin:/usr/local/bin")
    home = tmp_path_factory.mktemp("qgis")
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    environment["XDG_RUNTIME_DIR"] = str(home)

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        assert python is not None
        return subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False)

    if python is None or start("-c", "import qgis.core").returncode != 0:
        pytest.skip("no QGIS here: .ci/install-qgis installs it, or UVSAM_QGIS_PYTHON names a Python that has it")

    def ask(*tasks: list[Any]) -> list[Any]:
        asked, answers = home / "tasks.json", home / "answers.json"
        answers.unlink(missing_ok=True)
        asked.write_text(json.dumps(tasks, default=str), encoding="utf-8")
        done = start(str(PROBE), str(asked), str(answers))
        assert answers.exists(), done.stderr
        assert "may only be partially supported" not in done.stderr
        told: list[Any] = json.loads(answers.read_text(encoding="utf-8"))
        return told

    return ask
