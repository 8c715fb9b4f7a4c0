"""Compiled networks are kept where no other user can write, and it is said where that is not their usual place."""

import os
import shlex
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from uvsam.catalog.cache import compiled_folder
from uvsam.catalog.ownership import exposed

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners and mode bits here")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def test_a_folder_on_the_way_counts_unless_others_cannot_enter_or_it_is_sticky(folder: Path) -> None:
    inner = folder / "way" / "kept"
    inner.mkdir(parents=True, mode=0o755)
    (folder / "way").chmod(0o755)
    assert exposed(inner) is None
    assert exposed(inner / "to be made") is None
    (folder / "way").chmod(0o777)
    assert str(folder / "way") in str(exposed(inner))
    (folder / "way").chmod(0o1777)
    assert exposed(inner) is None
    (folder / "way").chmod(0o777)
    folder.chmod(0o700)
    assert exposed(inner) is None
    inner.chmod(0o777)
    assert str(inner) in str(exposed(inner))


def test_a_link_is_judged_by_where_it_leads(folder: Path) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "link").symlink_to(folder / "open")
    assert str(folder / "open") in str(exposed(folder / "link"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give folders away")
def test_the_folder_of_another_user_is_exposed(folder: Path) -> None:
    os.chown(folder, 12345, 12345)
    assert "another user" in str(exposed(folder / "kept"))


def test_networks_are_kept_elsewhere_or_nowhere_and_the_advice_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "own"))
    monkeypatch.setenv("HOME", str(folder))
    cache = folder / "of all"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.warns(UserWarning, match="chmod go-w") as told:
        found = compiled_folder(cache)
    assert found is not None
    assert not found.is_relative_to(cache)
    found.mkdir(parents=True)
    found.chmod(0o777)
    with pytest.warns(UserWarning, match="not kept"):
        assert compiled_folder(cache) is None
    advice = str(told[0].message).partition("(close it: ")[2].partition(")")[0]
    subprocess.run(shlex.split(advice), check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled_folder(cache) == cache / "compiled"
