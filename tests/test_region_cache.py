"""Annotated objects kept on disk: the same regions, the same scores, and never those of other annotations."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

import numpy as np
import pytest

from vosbench.datasets.davis import Davis
from vosbench.evaluation.metrics import EMPTY, Objects, Region
from vosbench.evaluation.predictions.label_maps import PngFolder
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.scoring import region_cache
from vosbench.evaluation.scoring.evaluate import evaluate
from vosbench.evaluation.scoring.region_cache import RegionCache
from vosbench.util.errors import Problems
from vosbench.video.images import write_label_map


def data_set(root: Path) -> Davis:
    return Davis(root, "val", 2017)


def predictions(root: Path) -> PngFolder:
    """The first annotation of each video, moved two columns to the right in every frame."""
    folder = root.parent / "predictions"
    for video in data_set(root).videos:
        (folder / video.name).mkdir(parents=True, exist_ok=True)
        first = video.annotation(0)
        assert first is not None
        for name in video.frame_names:
            write_label_map(folder / video.name / f"{name}.png", np.roll(first, 2, axis=1))
    return PngFolder(folder)


def assert_same(one: Region, other: Region) -> None:
    for field in fields(Region):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_regions_come_back_as_they_were(davis: Path, tmp_path: Path) -> None:
    for video in data_set(davis).videos:
        for _ in ("made", "found"):
            with RegionCache(tmp_path / "cache", video) as cache:
                for index in range(len(video.frame_names)):
                    labels, objects = video.annotation(index), cache.objects(index)
                    assert labels is not None
                    assert objects is not None
                    expected = Objects.of(labels)
                    assert (objects.size, objects.ids) == (expected.size, expected.ids)
                    assert objects[9] is EMPTY
                    for id_ in expected.ids:
                        assert_same(objects[id_], expected[id_])
                    np.testing.assert_array_equal(objects.labels, labels)
                assert cache.objects(len(video.frame_names)) is None


def test_frames_without_object_or_without_annotation(davis: Path, tmp_path: Path) -> None:
    folder = davis / "Annotations/480p/a"
    write_label_map(folder / "00002.png", np.zeros((48, 64), np.uint8))
    (folder / "00003.png").unlink()
    with RegionCache(tmp_path, data_set(davis).videos[0]) as cache:
        empty = cache.objects(2)
        assert empty is not None
        assert (empty.size, empty.ids) == ((48, 64), frozenset())
        assert cache.objects(3) is None


@pytest.mark.parametrize("protocol", ["davis", "davis-unsupervised", "vos-benchmark", "youtube-vos", "vip"])
def test_scores_are_the_same_and_files_are_made_once(davis: Path, tmp_path: Path, protocol: str) -> None:
    source, cache, rules = predictions(davis), tmp_path / "cache", protocol_named(protocol)
    plain = evaluate(data_set(davis), source, rules, workers=0)
    first = evaluate(data_set(davis), source, rules, workers=0, cache=cache)
    written = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    second = evaluate(data_set(davis), source, rules, workers=0, cache=cache)
    assert plain.scores == first.scores == second.scores
    assert plain.objects == first.objects == second.objects
    assert len(written) == 3  # one of each video
    assert written == {path: path.stat().st_mtime_ns for path in cache.iterdir()}


def test_changed_annotations_are_not_scored_by_old_ones(davis: Path, tmp_path: Path) -> None:
    source, cache = predictions(davis), tmp_path / "cache"
    evaluate(data_set(davis), source, workers=0, cache=cache)
    path = davis / "Annotations/480p/a/00002.png"
    write_label_map(path, np.zeros((48, 64), np.uint8))
    plain = evaluate(data_set(davis), source, workers=0)
    assert evaluate(data_set(davis), source, workers=0, cache=cache).scores == plain.scores


def test_a_broken_annotation_is_listed_and_nothing_is_kept(davis: Path, tmp_path: Path) -> None:
    source, cache = predictions(davis), tmp_path / "cache"
    (davis / "Annotations/480p/a/00002.png").write_bytes(b"no png")
    with pytest.raises(Problems, match=r"a: cannot read mask .*a/00002\.png"):
        evaluate(data_set(davis), source, workers=0, cache=cache)
    assert len(list(cache.iterdir())) == 2  # of the two other videos


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "a few bytes": lambda whole: whole[:10],
    "cut": lambda whole: whole[:-30],
    "longer": lambda whole: whole + b"more",
    "its end, and no more": lambda whole: whole[-24:],
    "never reached the disk": lambda whole: bytes(len(whole)),
    "of another version": lambda whole: whole[:-8] + b"regions0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_written_anew(davis: Path, tmp_path: Path, damage: str) -> None:
    source, cache = predictions(davis), tmp_path / "cache"
    plain = evaluate(data_set(davis), source, workers=0, cache=cache)
    whole = content(cache)
    for path in cache.iterdir():
        path.write_bytes(DAMAGES[damage](whole[path.name]))
    again = evaluate(data_set(davis), source, workers=0, cache=cache)
    assert (again.scores, again.objects) == (plain.scores, plain.objects)
    assert content(cache) == whole


def test_who_comes_second_waits_and_reads(davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that fill a cache at once: a lock is of a file that was opened, so threads stand for processes here."""
    video, write = data_set(davis).videos[0], region_cache._write_frame
    written: list[int] = []
    half, go_on = Event(), Event()

    def pausing(frame: int, objects: Objects, file: BinaryIO) -> Any:
        written.append(frame)
        if frame == 3:
            file.flush()
            half.set()
            assert go_on.wait(60)
        return write(frame, objects, file)

    def read() -> Any:
        with RegionCache(tmp_path, video) as cache:
            objects = cache.objects(5)
            assert objects is not None
            return objects[1]

    monkeypatch.setattr(region_cache, "_write_frame", pausing)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(read)
        assert half.wait(60)
        assert (next(tmp_path.glob("*.regions"))).stat().st_size
        second = threads.submit(read)
        with pytest.raises(TimeoutError):
            second.result(0.3)
        go_on.set()
        assert_same(first.result(60), second.result(60))
    assert written == [0, 1, 2, 3, 4, 5]


def test_on_a_disk_that_cannot_lock_the_files_are_the_same(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    source, cache, other = predictions(davis), tmp_path / "cache", tmp_path / "other"
    plain = evaluate(data_set(davis), source, workers=0, cache=cache)
    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        assert evaluate(data_set(davis), source, workers=0, cache=other).objects == plain.objects
        assert content(other) == content(cache)


KILLED = """
import os, signal, sys
from pathlib import Path
from vosbench.datasets.davis import Davis
from vosbench.evaluation.scoring import region_cache

write = region_cache._write_frame
def dying(frame, objects, file):
    file.flush()
    return write(frame, objects, file) if frame < 3 else os.kill(os.getpid(), signal.SIGKILL)
region_cache._write_frame = dying
region_cache.RegionCache(Path(sys.argv[2]), Davis(sys.argv[1], "val", 2017).videos[0])
"""


def test_what_a_killed_process_leaves(davis: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):  # what one leaves is what the next begins with
        done = subprocess.run([sys.executable, "-c", KILLED, str(davis), str(cache)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert len(list(cache.iterdir())) == 1
    source = predictions(davis)
    plain = evaluate(data_set(davis), source, workers=0)
    assert evaluate(data_set(davis), source, workers=0, cache=cache).scores == plain.scores
    assert len(list(cache.iterdir())) == 3
