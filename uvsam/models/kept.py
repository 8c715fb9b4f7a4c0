"""Networks as OpenVINO reads them, kept from one run to the next: tracing and comparing one takes a second or more.

Each is a folder, named by all that decides on what it computes, with a checksum, which tells damage and not intent. So
nothing is read that another user could have written, and who reads compares it with PyTorch. What is missing, damaged,
open to others or cannot be written is made again, without a word.
"""

import hashlib
import importlib.metadata
import os
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from uvsam.catalog.cards import file_sha256
from uvsam.catalog.ownership import exposed

MOST = 16
"""Networks that a folder holds, those that were used last; of the bundled models each has 13 to 18 MB."""
_FILES = ("network.xml", "network.bin")
_MAKERS = ("uvsam", "torch", "openvino", "segmentation-models-pytorch", "timm", "segment-anything")


def fingerprint(network: nn.Module, shapes: Any) -> str:
    """What decides on what a network computes: weights, structure, our code, libraries, the shapes of its inputs."""
    found = hashlib.sha256(_code())
    found.update(repr((shapes, network)).encode())
    for name, tensor in network.state_dict().items():
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()[:32]


@cache
def _code() -> bytes:
    found = hashlib.sha256(repr([importlib.metadata.version(name) for name in _MAKERS]).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.digest()


def read(folder: Path, key: str, core: Any) -> Any:
    """The network that was kept; None where there is none, not the one that was written, or others could write it."""
    place = folder / key
    with suppress(OSError, RuntimeError):
        if _is_ours(place) and (place / "sha256").read_text() == _checksum(place):
            os.utime(place)
            return core.read_model(place / _FILES[0])
    return None


def keep(folder: Path | None, key: str, described: Any, core: Any) -> Any:
    """Keep a network, if there is a place for it.

    Returns:
        The network as it is read again. Reading can change the last digit of what it computes, and the first run must
        say what the second one does.
    """
    if folder:
        with suppress(OSError, RuntimeError):  # a full disk, a folder that is closed to us, another that did the same
            folder.mkdir(0o700, parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".", dir=folder, ignore_cleanup_errors=True) as part:
                _write(Path(part), described)
                shutil.rmtree(folder / key, ignore_errors=True)
                Path(part).rename(folder / key)
            for old in sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime)[:-MOST]:
                shutil.rmtree(old, ignore_errors=True)
        if found := read(folder, key, core):
            return found
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as part:
            _write(Path(part), described)
            return core.read_model(Path(part) / _FILES[0])
    except (OSError, RuntimeError):
        return described


def _write(place: Path, described: Any) -> None:
    import openvino

    openvino.save_model(described, place / _FILES[0], compress_to_fp16=False)
    for name in _FILES:
        (place / name).chmod(0o600)  # whatever the user's umask
    (place / "sha256").write_text(_checksum(place))


def _is_ours(place: Path) -> bool:
    """Whether a kept network lies in its folder itself, not behind a link, and no other user can write it."""
    parts = (place, *(place / name for name in _FILES))
    return exposed(place.parent) is None and not any(part.is_symlink() or exposed(part) for part in parts)


def _checksum(place: Path) -> str:
    return " ".join(file_sha256(place / name) for name in _FILES)
