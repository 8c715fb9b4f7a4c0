"""Images on the web: their addresses, what lies beside them, and how their server wants to be asked.

GDAL looks for a dozen names beside a file, one after the other, whenever it opens it. Here a few are asked for at once,
one time in a process; workers are told with the scene.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from requests import Session

TIMEOUT_S = 30.0
AT_ONCE = 8
BESIDE = (".aux.xml", ".msk", ".ovr")
"""What may lie beside ``city.tif`` as ``city.tif.msk``: description, mask and overviews."""
HTTP = re.compile(r"https?://\S+", re.IGNORECASE)
PACKED = re.compile(r"(.*?\.(?:zip|kmz|tar|tgz|tar\.gz|gz|7z|rar))(?:[/!}].*)?$", re.IGNORECASE)


class Look(NamedTuple):
    """What a server has beside a file, and whether it answers HEAD."""

    beside: tuple[str, ...] = ()
    answers_head: bool = True


Looks = tuple[tuple[str, Look], ...]
_KNOWN: dict[str, Look] = {}


def http_address(name: str) -> str | None:
    """The http(s) address that GDAL reads for a name, as of ``/vsizip//vsicurl/https://...``; None if there is none."""
    found = HTTP.search(unquote(name) if "?" in name.partition("://")[0] else name)
    if found is None:
        return None
    packed = PACKED.match(found[0]) if re.search("zip|tar|gz|7z|rar", name.partition("://")[0], re.IGNORECASE) else None
    return packed[1] if packed else found[0]


def is_signed(name: str) -> bool:
    """Whether an address has a query: what lies beside it has another signature, and cannot be asked for."""
    return "?" in name


def world_files(name: str) -> tuple[str, ...]:
    """Endings of files that may say where an image without a position lies: ``.tfw`` and ``.wld``."""
    suffix = PurePosixPath(urlsplit(name).path).suffix
    return (f".{suffix[1]}{suffix[-1]}w".lower(), ".wld") if len(suffix) > 2 else ()


def looks(names: Iterable[str]) -> Looks:
    """What lies beside files on the web; a server is asked once. A server that fails, forbids, or answers with a page
    is taken to have nothing there."""
    wanted = {name: address for name in names if (address := http_address(name))}
    new = [(name, address) for name, address in wanted.items() if name not in _KNOWN]
    if new:
        import requests  # only for those who need it

        with requests.Session() as session, ThreadPoolExecutor(AT_ONCE) as pool:
            ways = list(pool.map(lambda of: _answers_head(session, of[1]), new))
            asked = [
                (name, ending, _neighbour(address, ending), way)
                for (name, address), way in zip(new, ways, strict=True)
                for ending in (() if is_signed(name) else (*BESIDE, *world_files(address)))
            ]
            there = list(pool.map(lambda one: _is_there(session, one[2], one[3]), asked))
        for (name, _), way in zip(new, ways, strict=True):
            beside = [one[1] for one, is_there in zip(asked, there, strict=True) if one[0] == name and is_there]
            _KNOWN[name] = Look(tuple(beside), way)
    return tuple((name, _KNOWN[name]) for name in wanted)


def remember(told: Looks) -> None:
    """Take over what another process has found out."""
    _KNOWN.update(told)


def _neighbour(address: str, ending: str) -> str:
    return address + ending if ending in BESIDE else address.rpartition(".")[0] + ending


def _answers_head(session: "Session", address: str) -> bool:
    """Whether HEAD is as good as GET; some servers, and signatures, allow the one and not the other."""
    return _answer(session, address, "HEAD") is not None or _answer(session, address, "GET") is None


def _is_there(session: "Session", address: str, by_head: bool) -> bool:
    kind = _answer(session, address, "HEAD" if by_head else "GET")
    return kind is not None and not kind.startswith("text/html")


def _answer(session: "Session", address: str, method: str) -> str | None:
    """Media type of what is there, None if nothing is to be had."""
    import requests

    headers = {"Accept-Encoding": "identity"} | ({"Range": "bytes=0-0"} if method == "GET" else {})
    try:
        with session.request(
            method, address, headers=headers, timeout=TIMEOUT_S, stream=True, allow_redirects=True
        ) as answer:
            return answer.headers.get("Content-Type", "") if answer.ok else None
    except (requests.RequestException, ValueError):
        return None
