"""Digests of files are remembered while the system says that the files are the same, and only then."""

import os
import time
from pathlib import Path

import pytest

from vosbench.util.files import content_digest, hash_files
from vosbench.video import digests
from vosbench.video.digests import all_digests, digest_of, digest_of_file


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Two files that changed long enough ago."""
    monkeypatch.setenv("VOSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "DOUBT", -60.0)
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return [(path.name, path) for path in paths]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was read."""
    seen: list[object] = []

    def noted(files: list[tuple[str, Path]]) -> str:
        seen.append(files)
        return hash_files(files)

    monkeypatch.setattr(digests, "hash_files", noted)
    return seen


def test_files_are_read_once(files: list[tuple[str, Path]], read: list[object]) -> None:
    assert [digest_of(files) for _ in range(3)] == [hash_files(files)] * 3
    assert len(read) == 1


def test_a_change_of_the_same_size_and_time_of_modification_is_seen(
    files: list[tuple[str, Path]], read: list[object]
) -> None:
    before, (_, path) = digest_of(files), files[0]
    time.sleep(0.02)
    times = path.stat()
    path.write_bytes(b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert digest_of(files) == hash_files(files) != before


def test_other_names_and_places_are_other_files(files: list[tuple[str, Path]], read: list[object]) -> None:
    digest_of(files)
    renamed = [(f"new {name}", path) for name, path in files]
    assert digest_of(renamed) == hash_files(renamed)
    files[0][1].rename(files[0][1].with_name("c"))
    assert digest_of(files) == hash_files(files)
    assert len(read) == 3


def test_what_changed_just_now_is_read_again(
    files: list[tuple[str, Path]], read: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "DOUBT", 60.0)
    digest_of(files)
    digest_of(files)
    assert len(read) == 2


def test_a_damaged_or_forbidden_cache_does_no_harm(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest_of(files)
    (entry,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    for content in (b"", b"\xff", b"0" * 63, b"0" * 65):
        entry.write_bytes(content)
        assert digest_of(files) == hash_files(files)
    monkeypatch.setenv("VOSBENCH_CACHE", str(files[0][1]))  # a file, in which no folder can be made
    assert digest_of(files) == hash_files(files)


def test_one_file_has_the_digest_of_its_content_alone(files: list[tuple[str, Path]]) -> None:
    path = files[0][1]
    assert digest_of_file(path) == digest_of_file(path) == content_digest(path)
    assert digest_of([("", path)]) == hash_files([("", path)])


def test_all_are_counted_and_errors_pass() -> None:
    counted: list[int] = []
    found = all_digests({str(i): lambda i=i: str(i * i) for i in range(20)}, lambda: counted.append(1))  # type: ignore[misc]
    assert found == {str(i): str(i * i) for i in range(20)}
    assert len(counted) == 20
    with pytest.raises(ZeroDivisionError):
        all_digests({"a": lambda: str(1 // 0)}, lambda: None)
