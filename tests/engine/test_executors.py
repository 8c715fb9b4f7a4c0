"""The same results wherever tasks run, few under way at a time, and errors that arrive."""

import http.client
import os
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from uvsam.engine.executors import AHEAD, in_order, open_run
from uvsam.errors import SettingsError

PLACES: dict[str, dict[str, Any]] = {
    "here": {}, "threads": {"workers": 2}, "processes": {"workers": 2, "processes": True},
}  # fmt: skip
REFUSED = r"(?i)timed out|reset by peer|closed|certificate does not match"


def square(task: int) -> int:
    if task == 666:
        raise ValueError("not this one")
    return task * task


@pytest.mark.parametrize("place", PLACES)
def test_every_task_is_done_once(place: str) -> None:
    with open_run(**PLACES[place]) as run:
        assert sorted(run(square, range(40))) == [n * n for n in range(40)]
        assert list(run(square, [])) == []
        with pytest.raises(ValueError, match="not this one"):
            list(run(square, [1, 666, 2]))
        assert sorted(run(square, range(5))) == [0, 1, 4, 9, 16]  # an error leaves it usable


@pytest.mark.parametrize("place", PLACES)
def test_results_can_come_in_the_order_of_their_tasks(place: str) -> None:
    with open_run(**PLACES[place]) as run:
        assert list(in_order(run, slow_at_first, range(12))) == list(range(12))


def slow_at_first(task: int) -> int:
    time.sleep(0.1 if task % 4 == 0 else 0)
    return task


def test_few_tasks_are_under_way_at_a_time() -> None:
    begun = 0

    def counted() -> Iterator[int]:
        nonlocal begun
        for task in range(1000):
            begun += 1
            yield task

    with open_run(workers=2) as run:
        for done, _ in enumerate(run(square, counted()), start=1):
            assert begun <= done + 2 * AHEAD
            if done == 20:
                break


def test_a_cluster_elsewhere_gives_the_same() -> None:
    from dask.config import set as set_dask
    from distributed import LocalCluster

    with (
        set_dask({"distributed.worker.profile.enabled": False}),  # as in our own clusters
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        open_run(dask=cluster.scheduler_address) as run,
    ):
        assert sorted(run(square, range(10))) == [n * n for n in range(10)]


def test_no_port_of_our_processes_answers_another_user_of_the_machine() -> None:
    """Whoever has no certificate of this run: plain, with a certificate of his own, or by http."""
    from distributed import Client, Security

    with open_run(workers=2, processes=True) as run:
        assert len(set(run(_process, range(8)))) <= 2
        me = psutil.Process()
        ports = {
            connection.laddr.port
            for process in (me, *me.children(recursive=True))
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert len(ports) == 5  # the scheduler's, and those of two workers and of the two that watch over them
        for port in ports:
            with pytest.raises((OSError, http.client.HTTPException)):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=2)
            with pytest.raises(OSError, match=REFUSED):
                Client(f"tcp://127.0.0.1:{port}", timeout=0.5)
            with pytest.raises(OSError, match=REFUSED):
                Client(f"tls://127.0.0.1:{port}", timeout=0.5, security=Security.temporary())
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
                _hear(port)
        assert sorted(run(square, range(5))) == [0, 1, 4, 9, 16]  # strangers at its ports do not disturb it


def _hear(port: int) -> None:
    """What a port says over TLS to somebody who trusts everyone and has no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=2) as plain, context.wrap_socket(plain) as secure:
        while secure.recv(1 << 16):
            pass


def test_a_scheduler_that_asks_for_a_certificate_is_one_line() -> None:
    with pytest.raises(SettingsError, match="asks for a certificate; name it in"), open_run(dask="tls://127.0.0.1:1"):
        pass


def test_nobody_at_the_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvsam.engine.executors.CONNECT_S", 1)
    with pytest.raises(SettingsError, match="no Dask scheduler answers at tcp"), open_run(dask="tcp://127.0.0.1:1"):
        pass


def test_new_processes_begin_with_what_they_are_told(tmp_path: Path) -> None:
    with open_run(workers=2, processes=True, first=partial(_sign, tmp_path)) as run:
        processes = set(run(_process, range(8)))
        assert processes <= {int(path.name) for path in tmp_path.iterdir()}


def _sign(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def test_threads_are_threads_of_this_process() -> None:
    with open_run(workers=2) as run:
        assert set(run(_process, range(4))) == {os.getpid()}
    with open_run(workers=2, processes=True) as run:
        assert os.getpid() not in set(run(_process, range(4)))


def _process(_: int) -> int:
    return os.getpid()


def test_workers_never_see_ctrl_c_which_a_terminal_sends_to_them_too() -> None:
    with open_run(workers=2, processes=True) as run:
        assert all(run(_blocks_ctrl_c, range(4)))
    assert not _blocks_ctrl_c(0)


def _blocks_ctrl_c(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
