"""Writing files: what stays on an error, and which file the error names."""

import errno
from pathlib import Path

import pytest

from vosbench.util.files import folder_aside, naming, replacing


def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left")
    assert caught.value.filename == str(tmp_path / "a")


def test_a_name_that_is_there_stays(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "a"):
        (tmp_path / "b").read_bytes()
    assert str(caught.value.filename) == str(tmp_path / "b")


def test_an_error_that_is_no_error_of_the_system_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken image") as caught, naming(tmp_path / "a"):
        raise OSError("broken image")
    assert str(caught.value) == "broken image"


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_on_an_error_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fill() -> None:
        with replacing(path) as aside:
            aside.write_text("half")
            raise OSError(errno.ENOSPC, "No space left")

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a"
    with pytest.raises(FileNotFoundError) as caught, replacing(path) as aside:
        aside.write_text("new")
    assert str(caught.value.filename) == str(path)


def test_a_folder_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep/a"
    for content in ("old", "new"):
        with folder_aside(path) as aside:
            (aside / content).write_text(content)
            assert [file.name for file in path.glob("*")] == ([] if content == "old" else ["old"])
        assert [file.name for file in path.iterdir()] == [content]
    assert list(path.parent.iterdir()) == [path]


def test_on_an_error_the_old_folder_stays_and_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for folder in (path, tmp_path / ".a.part", tmp_path / ".a.old"):
        folder.mkdir()
        (folder / folder.name).touch()

    def fill() -> None:
        with folder_aside(path) as aside:
            assert not list(aside.iterdir())
            (aside / "half").touch()
            raise ValueError("broken frame")

    with pytest.raises(ValueError, match="broken frame"):
        fill()
    assert [file.name for file in path.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [path]
