"""Whole records survive whatever happens to the end of a file; a journal belongs to one run and one process."""

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.engine.journal import Journal, Log, sweep
from uvsam.errors import OutputError

RECORDS = st.lists(
    st.tuples(st.integers(0, 2**40), st.binary(max_size=60)), min_size=1, max_size=8, unique_by=lambda r: r[0]
)


@settings(max_examples=60)
@given(records=RECORDS, cut=st.integers(0, 600), tail=st.binary(max_size=80))
def test_a_torn_file_has_the_records_before_the_tear(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, bytes]], cut: int, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = Log(folder, "tiles")
    ends = []
    for key, payload in records:
        place = log.append(key, payload)
        ends.append(place.offset + place.length)
    log.close()
    (path,) = folder.glob("tiles.*.log")
    data = path.read_bytes()
    cut = min(cut, len(data))
    path.write_bytes(data[:cut] + tail)  # a tail of what a disk had there before
    again = Log(folder, "tiles")
    whole = [record for record, end in zip(records, ends, strict=True) if end <= cut]
    assert {key: again.read(key) for key, _ in whole} == dict(whole)
    more = 10**15
    again.append(more, b"later")
    again.close()
    assert Log(folder, "tiles").read(more) == b"later"


def test_a_changed_byte_is_no_record(tmp_path: Path) -> None:
    log = Log(tmp_path, "tiles")
    place = log.append(1, b"right")
    log.append(2, b"right, too")
    log.close()
    path = tmp_path / place.file
    data = bytearray(path.read_bytes())
    data[place.offset + 1] ^= 1
    path.write_bytes(data)
    assert 1 not in Log(tmp_path, "tiles")


def test_threads_of_a_worker_share_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path, "tiles", scan=False)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: log.append(key, str(key).encode() * 50), range(400)))
    again = Log(tmp_path, "tiles")
    assert {key: again.read(key) for key in again.places} == {key: str(key).encode() * 50 for key in range(400)}


def test_logs_of_other_names_and_processes_are_kept_apart(tmp_path: Path) -> None:
    here, there, other = Log(tmp_path, "tiles"), Log(tmp_path, "tiles"), Log(tmp_path, "crops")
    here.append(1, b"here")
    place = there.append(2, b"there")
    other.append(1, b"a crop")
    here.places[2] = place  # as a worker tells it
    assert [here.read(1), here.read(2)] == [b"here", b"there"]
    assert sorted(Log(tmp_path, "tiles").places) == [1, 2]


class Stopped(Exception):
    """What ends a run."""


def stopped(out: Path, run: str, *, records: int) -> tuple[Journal, int, list[str]]:
    """A journal of a run that is stopped; how many records there were before, and what is told of it."""
    try:
        with Journal(out) as journal:
            journal.begin({"run": run})
            log = journal.log("tiles")
            known = len(log)
            for key in range(known, known + records):
                log.append(key, b"done")
            raise Stopped
    except Stopped as error:
        return journal, known, getattr(error, "__notes__", [])


def test_a_journal_goes_on_with_the_same_run_only(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    for run, resumed, before in (("one", False, 0), ("one", True, 1), ("two", False, 0)):
        journal, known, notes = stopped(out, run, records=1)
        assert (journal.resumed, known) == (resumed, before)
        assert "goes on from there" in notes[0]
        assert journal.folder.is_dir()
    with Journal(out) as journal:
        journal.begin({"run": "two"})
        assert journal.log("tiles").read(0) == b"done"
    assert list(tmp_path.iterdir()) == []


def test_nothing_done_leaves_nothing(tmp_path: Path) -> None:
    assert stopped(tmp_path / "out.gpkg", "one", records=0)[2] == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_could_not_begin_leaves_what_is_there_of_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    stopped(out, "one", records=1)
    with pytest.raises(Stopped) as caught, Journal(out):
        raise Stopped
    assert not hasattr(caught.value, "__notes__")  # it did nothing that is kept
    assert stopped(out, "one", records=0)[1] == 1


def test_a_folder_that_cannot_be_filled_is_not_left_behind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # like a full disk: files can be made, not written
    try:
        with pytest.raises(OutputError, match="cannot write into"), Journal(tmp_path / "v.gpkg") as journal:
            journal.begin({"image": "a"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [*tmp_path.iterdir()] == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    with Journal(out), pytest.raises(OutputError, match="another run is at work"), Journal(out):
        pass
    with Journal(out):
        pass


def test_a_folder_beside_a_complete_result_is_swept(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    journal, _, _ = stopped(out, "one", records=1)
    sweep(out)
    assert journal.folder.exists()  # there is no result
    out.touch()
    sweep(out)
    assert list(tmp_path.iterdir()) == [out]
