"""Real processes: started oddly, in odd places, and interrupted at any moment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command_page import documented
from uvsam.cli.errors import EXIT_STATUS

HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
READY = """
import signal
real = signal.signal
def told(number, handler):
    before = real(number, handler)
    if number == signal.SIGTERM:
        print("ready", flush=True)
    return before
signal.signal = told
from uvsam.__main__ import main
main()
"""


@pytest.mark.parametrize("seconds", [0, 0.02, 0.1, 0.3, 1, 2.5])
def test_ctrl_c_is_one_line_at_any_moment(city: Path, tmp_path: Path, seconds: float) -> None:
    """From the first line of ours on, through the imports, into the work."""
    out = tmp_path / "out.gpkg"
    process = subprocess.Popen(
        [sys.executable, "-c", READY, "predict", str(city / "city_2020.tif"), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in errors.splitlines() if line and not line.startswith(("looking for", "What was done"))]
    assert lines == ["Interrupted."]
    assert not out.exists()


def test_what_is_imported_before_ctrl_c_is_taken_care_of_takes_no_time() -> None:
    """Until then Ctrl-C shows a traceback; each of these takes milliseconds."""
    code = "import sys; import uvsam.__main__; print({'typing', 'pathlib', 're', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", code], env=HERE, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


INTERRUPTED_IN_A_DESTRUCTOR = """
import os, signal, sys, time
from uvsam.__main__ import main
from uvsam.cli import main as commands

class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

def run():
    del_it = Thing()
    del del_it
    time.sleep(30)

commands.run = run
main()
"""


def test_ctrl_c_within_a_destructor_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_DESTRUCTOR], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_what_is_refused_is_refused_before_torch_is_imported(city: Path, tmp_path: Path) -> None:
    """An image, a model, a result or an area that cannot be used costs no seconds of imports."""
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "there.gpkg").write_text("a result")
    image, out = str(city / "city_2020.tif"), str(tmp_path / "out.gpkg")
    refused = [
        (["nowhere.tif", "--out", out], 1),
        ([str(tmp_path / "text.tif"), "--out", out], 1),
        ([image, "--out", str(tmp_path / "there.gpkg")], 4),
        ([image, "--out", str(tmp_path / "no" / "folder.gpkg")], 4),
        ([image, "--out", out, "--model", "nothing"], 1),
        ([image, "--out", out, "--aoi", "nowhere.gpkg"], 1),
        ([image, "--out", out, "--threshold", "2"], 2),
    ]
    code = (
        f"import sys; from uvsam.cli.main import run; found = [run(['predict', *args]) for args, _ in {refused!r}];"
        "print(found, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[status for _, status in refused]} False\n"
    assert len(done.stderr.splitlines()) == len(refused)
    assert {status for _, status in refused} <= set(EXIT_STATUS)


def test_an_odd_start_in_an_odd_place_makes_no_difference(city: Path, tmp_path: Path) -> None:
    """Names that are not ASCII, a folder where nothing can be written, no stdin, no terminal, an ASCII locale."""
    folder = tmp_path / "Città 東京"
    folder.mkdir()
    image, out, picture = folder / "bild ü.tif", folder / "dörfer é.gpkg", folder / "bild ß.png"
    shutil.copy(city / "city_2020.tif", image)
    read_only = Path("/proc")  # where not even root can make a file
    if not read_only.exists():
        read_only = tmp_path / "read only"
        read_only.mkdir(mode=0o555)
    env = {name: value for name, value in HERE.items() if name not in {"TERM", "LANG"}}
    env |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "uvsam"]
    shell = ["sh", "-c", '"$@" <&-', "sh", *command]
    predicted = subprocess.run(
        [*shell, "predict", str(image), "--out", str(out), "--preview", str(picture), "--json", "--model",
         "uvsam-specialist"],
        cwd=read_only, env=env, capture_output=True, check=False,
    )  # fmt: skip
    assert predicted.returncode == 0, predicted.stderr
    found = json.loads(predicted.stdout.decode("ascii"))
    assert set(found) == documented("predict")
    assert found["files"] == [str(out), str(picture)]
    assert all(Path(path).stat().st_size for path in found["files"])
    assert found["villages"] > 0
    assert 0 < found["confidence"] <= 1
    assert b"looking for villages" in predicted.stderr
    table = subprocess.run([*shell, "evaluate", out, out], cwd=read_only, env=env, capture_output=True, check=True)
    assert r"objects, IoU \u2265 0.5" in table.stdout.decode("ascii")
