"""The command line as a user meets it: a real process, its output and its exit status."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from uvsam.cli import main as cli_main
from uvsam.cli.commands import LazyCommand
from uvsam.cli.errors import report, status_of
from uvsam.cli.main import COMMANDS, TRAIN_COMMANDS
from uvsam.errors import GeoreferencingError, OutputError, SceneError, UvsamError


def uvsam(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "uvsam", *args], capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from uvsam.cli.main import run; status = run(['--help']);"
        "heavy = {'torch', 'numpy', 'rasterio', 'geopandas', 'rich', 'scipy', 'pydantic'} & set(sys.modules);"
        "commands = [name for name in sys.modules if name.startswith('uvsam.cli.')];"
        "print('loaded', sorted(heavy), sorted(commands)); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    light = ["commands", "console", "errors", "main", "process"]
    assert f"loaded [] {[f'uvsam.cli.{name}' for name in light]}" in result.stdout
    for name, lazy in COMMANDS.items():
        assert f"  {name} " in result.stdout
        assert lazy.help in result.stdout


def test_version_is_that_of_the_package() -> None:
    import uvsam as package

    result = uvsam("--version")
    assert (result.returncode, result.stdout.strip()) == (0, f"uvsam {package.__version__}")


@pytest.mark.parametrize("name", [*COMMANDS, *(f"train {name}" for name in TRAIN_COMMANDS)])
def test_every_command_has_help_without_torch(name: str) -> None:
    code = (
        "import sys; from uvsam.cli.main import run;"
        f"status = run([*{name.split()!r}, '--help']); print('torch' in sys.modules); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Usage: uvsam {name}")
    assert "--verbose" in result.stdout
    assert "--quiet" in result.stdout
    assert result.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("args", "named"),
    [(["preddict"], "preddict"), (["--nonsense"], "--nonsense"), (["evaluate"], "PREDICTION"), (["train", "x"], "'x'"),
     (["predict", "", "--out", "x.gpkg"], "is empty"), (["trends", "a.gpkg", "--out="], "is empty")],
)  # fmt: skip
def test_usage_errors_exit_2_and_name_what_was_wrong(args: list[str], named: str) -> None:
    result = uvsam(*args)
    assert result.returncode == 2
    assert result.stdout == ""
    assert named in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def run_command(body: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run ``uvsam act ARGS`` in a process of its own, ``act`` being a command with the body ``body``."""
    return subprocess.run([sys.executable, "-c", script(body, *args)], capture_output=True, text=True, check=False)


def script(body: str, *args: str) -> str:
    return f"""
import sys, types, time, click
from uvsam.__main__ import main as start
from uvsam.cli import main
from uvsam.cli.commands import Answer, Command, LazyCommand
from uvsam.cli.console import say, progress_display, print_table
from uvsam.errors import *

def act():
    {body}

module = types.ModuleType("acting")
module.command = click.command("act", cls=Command)(act)
sys.modules["acting"] = module
main.COMMANDS["act"] = LazyCommand("acting:command", "Acts.")
sys.argv = ["uvsam", *{list(args)!r}]
start()
"""


def test_an_error_of_ours_is_one_line_and_exit_1() -> None:
    result = run_command("raise SceneError('a.tif is not\\n a raster; name a GeoTIFF')", "act")
    assert result.returncode == 1
    assert (result.stdout, result.stderr) == ("", "Error: a.tif is not a raster; name a GeoTIFF\n")


def test_an_unexpected_error_asks_for_a_report_in_one_line() -> None:
    result = run_command("{}['key']", "act")
    assert result.returncode == 1
    assert result.stderr == "Error: unexpected KeyError: 'key'; run with -v for the traceback, and please report it\n"


@pytest.mark.parametrize("args", [["-v", "act"], ["act", "-v"], ["act", "--verbose"]])
def test_verbose_shows_the_traceback_before_and_after_the_command(args: list[str]) -> None:
    result = run_command("raise SceneError('broken')", *args)
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("Error: broken\n")


def test_quiet_leaves_the_results_only() -> None:
    body = (
        "say('a notice'); print_table(['what', 'value'], [['result', '1']])\n"
        "    with progress_display() as progress: progress('work', 5, 10); progress('work', 10, 10)"
    )
    loud, quiet = run_command(body, "act"), run_command(body, "act", "-q")
    assert loud.stdout == quiet.stdout
    assert "result" in quiet.stdout
    assert quiet.stderr == ""
    assert loud.stderr.startswith("a notice\nwork: 5/10 (50 %)")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    body = "[click.echo('line ' * 100) for _ in range(10_000)]"
    process = subprocess.Popen(
        [sys.executable, "-c", script(body, "act")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.wait()
    assert errors == ""


@pytest.mark.parametrize(
    ("sent", "status", "said"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")]
)
def test_ctrl_c_and_sigterm_end_without_a_traceback(sent: int, status: int, said: str) -> None:
    body = "click.echo('started'); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", script(body, "-v", "act")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (status, said)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_error_and_no_file_takes_their_place(tmp_path: Path, closed: str) -> None:
    target = tmp_path / "result"
    body = (
        f"file = open({str(target)!r}, 'w'); say('a notice'); click.echo('a result'); assert file.fileno() > 2;"
        "progress = progress_display().__enter__(); progress('work', 10, 10); file.write('done')"
    )
    code = tmp_path / "code.py"
    code.write_text(script(body, "act"))
    assert subprocess.run(["sh", "-c", f'"{sys.executable}" "{code}" {closed}'], check=False).returncode == 0
    assert target.read_text() == "done"


def test_a_damaged_file_is_not_taken_for_an_interruption() -> None:
    result = run_command("raise EOFError('no data left')", "act")
    assert result.returncode == 1
    assert "Error: unexpected" in result.stderr
    assert "no data left" in result.stderr


def test_warnings_are_one_line() -> None:
    result = run_command("import warnings; warnings.warn('the image is old', stacklevel=1)", "act")
    assert (result.returncode, result.stderr) == (0, "Warning: the image is old\n")


@pytest.mark.parametrize("error", [SceneError, GeoreferencingError, OutputError, UvsamError])
def test_errors_without_text_still_say_something(error: type[UvsamError], capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error(), verbose=False) == status_of(error())
    assert capsys.readouterr().err == f"Error: {error.__name__}\n"


def test_commands_are_click_commands_where_the_table_says() -> None:
    context = click.Context(cli_main.cli)
    for name, lazy in COMMANDS.items():
        assert isinstance(lazy, LazyCommand)
        assert isinstance(cli_main.cli.get_command(context, name), click.Command)
    assert cli_main.cli.get_command(context, Path("nothing").name) is None


@pytest.mark.parametrize("megabytes", [1000, 2500])
def test_short_memory_is_told_whatever_type_of_error_it_becomes(city: Path, tmp_path: Path, megabytes: int) -> None:
    """With so much of it PyTorch cannot be loaded, or the network not be built. With less, Python itself breaks."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, 2 * ({megabytes << 20},)); "
    words = ["predict", str(city / "city_2020.tif"), "--model", "uvsam-specialist", "--out", str(tmp_path / "v.gpkg")]
    code = f"{limit}import sys; sys.argv[1:] = {words}; from uvsam.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: out of memory")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "v.gpkg").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        ImportError("libtorch_cpu.so: cannot allocate memory in static TLS block"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_what_libraries_say_of_memory(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = RuntimeError("the last of several")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        assert report(one, verbose=False) == 1
        assert capsys.readouterr().err.startswith("Error: out of memory")
    assert report(RuntimeError("memory format is not supported"), verbose=False) == 1
    assert "unexpected RuntimeError" in capsys.readouterr().err
