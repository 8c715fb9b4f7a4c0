"""YAML files that people have: what they hold, or one line that says where they are wrong."""

import codecs
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvsam.cli.main import run
from uvsam.documents import DocumentError, read_yaml, well_formed

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"threshold:\t0.5\n\tviews: 1\n", "(line 1: a tab where spaces have to be)"),
        (b"threshold: 0.5\nviews: 1\nthreshold: 0.4\n", "(line 1: 'threshold' stands there twice)"),
        (b"views: [1, {views: 1, views: 2}]\n", "(line 1: 'views' stands there twice)"),
        (b"threshold: [\n", "is not a YAML file (line 2"),
        (b"name: M\xfcnchen\n", "no text in UTF-8"),
        (b"views: 9" + b"9" * 5000, "a number of more than 100 digits"),
        (b"[" * 5000, "nested too deeply"),
        (b"a: &a [*a]\n", "more than 100000 values"),
        (LAUGHS.encode(), "more than 100000 values"),
        (b"a: b\n---\nc: d\n", "is not a YAML file (line 2"),
        (b"a: \x01\n", "is not a YAML file"),
        (b"x" * (1 << 25), "too large"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "o.yaml"
    path.write_bytes(content)
    for words in (["predict", "a.tif", "--out", "b.gpkg", "--config"], ["train", "specialist"]):
        assert run([*words, str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"Error: {path}")
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("day", ["2020-02-30", "0000-01-01", "2020-13-01"])
def test_impossible_days_are_values_that_are_none(tmp_path: Path, day: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "o.yaml"
    path.write_text(f"date: {day}\n")
    assert run(["predict", "a.tif", "--out", "b.gpkg", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert "--date" in error
    assert "unexpected" not in error


def test_days_stay_text_and_all_else_is_what_yaml_says(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = "day: 2016-05-17\nshare: 0.5\nshort: &s {a: 1}\nagain: *s\nmore: {<<: *s, b: yes}\n"
    wanted = {
        "day": "2016-05-17", "share": 0.5, "short": {"a": 1}, "again": {"a": 1}, "more": {"a": 1, "b": True},
    }  # fmt: skip
    for content in (text.encode(), codecs.BOM_UTF8 + text.encode(), text.encode("utf-16")):
        path.write_bytes(content)
        assert read_yaml(path) == wanted
    path.write_text("# nothing\n")
    assert read_yaml(path) is None
    with pytest.raises(DocumentError, match="no name of a file"):
        read_yaml(Path("a\0b"))


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_written_as_xml(text: str) -> None:
    element = ET.Element("name", title=text)
    element.text = text
    written = well_formed(ET.tostring(element, encoding="unicode"))
    read = ET.fromstring(written.encode())
    assert len(read.attrib["title"]) == len(text)
    assert well_formed("Łódź 東京 🏘\n\t") == "Łódź 東京 🏘\n\t"
