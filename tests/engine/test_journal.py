"""Whole records survive whatever happens to the end of a file; a journal belongs to one run and one process."""

import json
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


@settings(max_examples=40)
@given(records=RECORDS, data=st.data())
def test_every_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """Whether in the mark, the number, the length, the checksum or the payload: the record is none any more."""
    folder = tmp_path_factory.mktemp("log")
    log = Log(folder, "tiles")
    starts, end = [], 0
    for key, payload in records:
        starts.append(end)
        place = log.append(key, payload)
        end = place.offset + place.length
    log.close()
    (path,) = folder.glob("tiles.*.log")
    flipped = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(flipped) - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    hit = sum(start <= bit // 8 for start in starts) - 1
    again = Log(folder, "tiles")
    assert {key: again.read(key) for key in again.places} == dict(records[:hit])
    with pytest.raises(OutputError, match=r"was changed; remove .* and start over"):
        log.read(records[hit][0])  # also after it was found to be whole


class Stopped(Exception):
    """What ends a run."""


def described(run: str) -> dict[str, str]:
    return {"image": run, "settings": "default", "versions": "1"}


def stopped(out: Path, run: str, *, records: int) -> tuple[Journal, int, list[str]]:
    """A journal of a run that is stopped; how many records there were before, and what is told of it."""
    try:
        with Journal(out) as journal:
            journal.begin(described(run))
            log = journal.log("tiles")
            known = len(log)
            for key in range(known, known + records):
                log.append(key, b"done")
            raise Stopped
    except Stopped as error:
        return journal, known, getattr(error, "__notes__", [])


@pytest.mark.filterwarnings("ignore:what an earlier run")
def test_a_journal_goes_on_with_the_same_run_only(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    for run, resumed, before in (("one", False, 0), ("one", True, 1), ("two", False, 0)):
        journal, known, notes = stopped(out, run, records=1)
        assert (journal.resumed, known) == (resumed, before)
        assert "goes on from there" in notes[0]
        assert journal.folder.is_dir()
    with Journal(out) as journal:
        journal.begin(described("two"))
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
            journal.begin(described("a"))
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


def test_what_is_not_gone_on_with_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    stopped(out, "one", records=1)
    with pytest.warns(UserWarning, match=r"run for out.gpkg had done is of something else \(image\); all"):
        stopped(out, "two", records=1)


def everything(folder: Path) -> dict[str, bytes | str]:
    """All that is in a folder, byte for byte, and where links lead."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


STRANGERS: dict[str, dict[str, str]] = {
    "of notes": {"notes.txt": "mine", "sub/more.txt": "mine, too"},
    "with a run.json": {"run.json": '{"image": 1, "settings": 2}', "notes.txt": "mine"},
    "with a broken run.json": {"run.json": "{", "lock": "mine"},
    "with a list": {"run.json": '["image", "settings", "versions"]', "lock": ""},
    "with logs": {"tiles.1-host-2.log": "mine", "lock": ""},
}


@pytest.mark.parametrize("kind", ["folder", "link", "file", "dangling"])
@pytest.mark.parametrize("files", STRANGERS.values(), ids=STRANGERS.keys())
@pytest.mark.parametrize("is_complete", [False, True])
def test_what_no_run_made_stays_as_it_was(tmp_path: Path, kind: str, files: dict[str, str], is_complete: bool) -> None:
    out, folder = tmp_path / "out.gpkg", tmp_path / ("mine" if kind == "link" else "out.gpkg.uvsam")
    if kind == "file":
        folder.write_text("mine")
    elif kind == "dangling":
        folder.symlink_to(tmp_path / "nowhere")
    else:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if kind == "link":
            (tmp_path / "out.gpkg.uvsam").symlink_to(folder)
    if is_complete:
        out.write_bytes(b"a result")
    before = everything(tmp_path)
    sweep(out)
    with pytest.raises(OutputError, match=r"was not made by one; move|is a link; move|is a file; move"), Journal(out):
        pass
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["lock", "run.json", "run.part", "scores.tif"])
def test_a_link_in_the_folder_of_a_run_is_not_followed(tmp_path: Path, name: str) -> None:
    out, mine = tmp_path / "out.gpkg", tmp_path / "mine.txt"
    mine.write_text(json.dumps(described("one")))
    journal, _, _ = stopped(out, "one", records=1)
    (journal.folder / name).unlink(missing_ok=True)
    (journal.folder / name).symlink_to(mine)
    before = everything(tmp_path)
    sweep(out)
    with pytest.raises(OutputError), Journal(out):
        pass
    assert everything(tmp_path) == before


def test_a_file_of_the_users_in_the_folder_of_a_run_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    journal, _, _ = stopped(out, "one", records=1)
    (journal.folder / "notes.txt").write_text("mine")
    with Journal(out) as again:
        again.begin(described("one"))
        assert again.resumed
    assert everything(journal.folder) == {"notes.txt": b"mine"}


def test_a_run_that_was_killed_at_any_moment_is_known_as_one(tmp_path: Path) -> None:
    """What is there between two of its steps: before it is described, and while it is removed."""
    out = tmp_path / "out.gpkg"
    for left in ((), ("lock",), ("lock", "run.part"), ("lock", "run.json"), ("run.json",)):
        folder = tmp_path / "out.gpkg.uvsam"
        folder.mkdir()
        for name in left:
            (folder / name).write_text(json.dumps(described("one")) if name == "run.json" else "")
        with Journal(out) as journal:
            journal.begin(described("one"))
        assert list(tmp_path.iterdir()) == []
