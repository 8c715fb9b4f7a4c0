"""Progress on a log: what a person reads there while a long run goes on."""

import re
import time

import pytest

from uvsam.cli.console import PlainProgress


def test_the_rate_of_a_stage_counts_only_what_was_done_since_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    progress("training", 100_000, 100_100)
    time.sleep(0.02)
    progress("training", 100_100, 100_100)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "training: 100000/100100 (100 %)"
    rate = re.fullmatch(r"training: 100100/100100 \(100 %\), ([\d.]+)/s, took \d+:\d\d", last)
    assert rate is not None
    assert float(rate[1]) <= 100 / 0.02
