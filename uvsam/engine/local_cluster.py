"""Dask processes on this machine that only their owner can reach.

What a Dask scheduler or worker is sent, it runs. Every user of a machine can connect to its ports, so each connection
is encrypted and shows a certificate that was made for this run and is never written to disk, and no web server is
started beside them.
"""

import logging
from typing import Any

from distributed import Nanny, Scheduler, Security, SpecCluster, Worker

HOST = "127.0.0.1"


class WithoutHttp:
    """A node of a cluster that listens to nothing but its peers."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Start none: ``dashboard=False`` leaves out the dashboard, not its server."""


class QuietScheduler(WithoutHttp, Scheduler):
    pass


class QuietWorker(WithoutHttp, Worker):
    pass


def local_cluster(workers: int) -> SpecCluster:
    """Processes of one thread each, and their scheduler in this process."""
    security = Security.temporary()
    common = {"host": HOST, "protocol": "tls://", "security": security, "dashboard": False, "dashboard_address": None}
    worker = {
        "cls": Nanny,
        "options": common
        | {"nthreads": 1, "memory_limit": 0, "worker_class": QuietWorker, "silence_logs": logging.WARNING},
    }
    return SpecCluster(
        scheduler={"cls": QuietScheduler, "options": common | {"port": 0}},
        workers=dict.fromkeys(range(workers), worker),
        security=security,
        silence_logs=logging.WARNING,
    )
