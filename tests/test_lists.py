"""List files as people and programs write them."""

from pathlib import Path

import pytest

from vosbench.datasets.folders import read_list
from vosbench.util.errors import UserError
from vosbench.util.reading import read_json
from vosbench.util.text_files import read_text


def listed(tmp_path: Path, content: bytes | str, *known: str) -> list[str]:
    path = tmp_path / "val.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_list(path, known)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    assert listed(tmp_path, end.join(["bear", "café", "", "my dog", "bear"]).encode(encoding)) == [
        *("bear", "café", "my dog")
    ]


@pytest.mark.parametrize("content", [b"caf\xe9\n", "bear\n".encode("utf-16-le"), b"\xff\xfeb"])
def test_other_encodings_name_the_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"val\.txt is not text in UTF-8.*: save it as UTF-8"):
        listed(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("my dog", "my dog"),
        ("  bear\t", "bear"),
        ("bear/", "bear"),
        ("./bear", "bear"),
        ("JPEGImages/480p/bear/", "bear"),
        ("bear/00000", "bear"),
        ("bear/00000.jpg", "bear"),
        ("my dog/00000.jpg", "my dog"),
        ("JPEGImages\\480p\\bear\\00000.jpg", "bear"),
        ("/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png", "bear"),
        ("/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png ", "bear"),
        ("/JPEGImages/480p/my dog/00000.jpg /Annotations/480p/my dog/00000.png", "my dog"),
        ("a,b=c [1]", "a,b=c [1]"),
    ],
)
def test_what_a_line_stands_for(tmp_path: Path, line: str, name: str) -> None:
    assert listed(tmp_path, f"{line}\nx\n") == [name, "x"]


def test_comments_and_empty_lines(tmp_path: Path) -> None:
    assert listed(tmp_path, "# the easy ones\n\n \nbear\n") == ["bear"]
    with pytest.raises(UserError, match="is empty"):
        listed(tmp_path, "# nothing\n")


def test_what_is_there_is_known_by_its_very_name(tmp_path: Path) -> None:
    names = ["#1", " ahead", "behind ", "a\\b", "a.jpg", "my dog"]
    assert listed(tmp_path, "\n".join(names), *names, "a", "my") == names


def test_paths_of_still_images(tmp_path: Path) -> None:
    pair = "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png"
    known = ["2007_000032", "2007_000033"]
    assert listed(tmp_path, f"{pair}\n2007_000033.jpg\n", *known) == known
    assert listed(tmp_path, "JPEGImages/480p/bear", "bear") == ["bear"]


def test_a_part_of_a_name_is_not_taken_for_it(tmp_path: Path) -> None:
    assert listed(tmp_path, "my dog\nmy\n", "my") == ["my dog", "my"]


def test_json_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    path.write_bytes('{"videos": "é"}'.encode("utf-8-sig"))
    assert read_json(path, "", "") == {"videos": "é"}
    path.write_bytes("é".encode("utf-16"))
    assert read_text(path) == "é"
