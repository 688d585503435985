"""COCO RLE: what is written is read back exactly, other people's files are read, and bad ones are named."""

import json
import pickle
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.predictions.rle import RleFile, RleSequence, encode, write_rle
from vosbench.util.errors import Problems
from vosbench.video.run_lengths import decode
from vosbench.video.video import LabelMap

SHAPES = [(1, 1), (1, 7), (9, 1), (2, 2), (31, 17), (200, 130)]


def blobs(shape: tuple[int, int], ids: tuple[int, ...], seed: int) -> LabelMap:
    """Stripes and specks of these ids and background."""
    random = np.random.default_rng(seed)
    labels = np.array([0, *ids], np.uint8)[random.integers(0, len(ids) + 1, shape)]
    labels[: shape[0] // 2, shape[1] // 3 :] = ids[0]
    labels[shape[0] // 2 :, : shape[1] // 2] = 0
    return labels


def runs(mask: np.ndarray) -> list[int]:
    """COCO's run lengths, by columns and from background on, written down the plain way."""
    lengths = [(key, len(list(group))) for key, group in groupby(mask.T.ravel().tolist())]
    return [0] * bool(lengths[0][0]) + [length for _, length in lengths]


def sequence_of(path: Path, name: str) -> RleSequence:
    sequence = RleFile(path).sequence(name)
    assert sequence is not None
    return sequence


def read(path: Path, name: str) -> dict[str, LabelMap]:
    sequence = sequence_of(path, name)
    assert sequence.problems == []
    return {frame: sequence.read(frame) for frame in sequence.names}


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(tmp_path: Path, shape: tuple[int, int]) -> None:
    many = [blobs(shape, (1, 2, 5, 255), seed) for seed in range(3)]
    videos = {
        "many": {"00000": many[0], "00005": np.zeros(shape, np.uint8), "00010": many[1], "shot.2.b": many[2]},
        "full": {"0": np.full(shape, 7, np.uint8)},
        "empty": {"a": np.zeros(shape, np.uint8)},
    }
    write_rle(tmp_path / "a.json", ((name, iter(frames.items())) for name, frames in videos.items()))
    for name, frames in videos.items():
        found = read(tmp_path / "a.json", name)
        assert list(found) == list(frames)
        for frame, labels in frames.items():
            assert found[frame].dtype == np.uint8
            np.testing.assert_array_equal(found[frame], labels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
@pytest.mark.parametrize("shape", SHAPES)
def test_compressed_and_uncompressed_are_those_of_pycocotools(shape: tuple[int, int]) -> None:
    for seed in range(5):
        mask = blobs(shape, (1,), seed) > 0
        plain = {"size": [*shape], "counts": runs(mask)}
        packed = coco.frPyObjects(plain, *shape)
        text = {"size": [*shape], "counts": packed["counts"].decode()}
        np.testing.assert_array_equal(decode(plain, shape), mask)
        np.testing.assert_array_equal(decode(text, shape), mask)
        np.testing.assert_array_equal(decode(text, shape), coco.decode(packed))
        assert encode(mask.astype(np.uint8)).get(1, text) == text


def test_the_same_label_maps_give_the_same_file(tmp_path: Path) -> None:
    def write(name: str, *, reverse: bool = False) -> bytes:
        frames = [(f"{i}", blobs((20, 30), (3, 9), i)) for i in range(4)]
        write_rle(tmp_path / name, [("v", frames[::-1] if reverse else frames)])
        return (tmp_path / name).read_bytes()

    assert write("a.json") == write("b.json") != write("c.json", reverse=True)
    write_rle(tmp_path / "d.json", [("v", [("0", blobs((20, 30), (3, 9), 9))])])
    a, b, d = (sequence_of(tmp_path / f"{name}.json", "v").digest() for name in "abd")
    assert a == b != d


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    frames = [("0", np.ones((4, 5), np.uint8)), ("1", np.ones((5, 4), np.uint8))]
    with pytest.raises(ValueError, match=r"video bear .*\(4, 5\), \(5, 4\)"):
        write_rle(tmp_path / "a.json", [("bear", frames)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_a_sequence_travels_alone(tmp_path: Path) -> None:
    write_rle(tmp_path / "a.json", [(f"v{i}", [("0", blobs((50, 50), (1, 2), i))]) for i in range(20)])
    source = open_source(tmp_path / "a.json")
    sequence = source.sequence("v3")
    packed = pickle.dumps(sequence)
    assert len(packed) < (tmp_path / "a.json").stat().st_size / 10
    np.testing.assert_array_equal(pickle.loads(packed).read("0"), blobs((50, 50), (1, 2), 3))
    assert source.sequence("v99") is None
    assert source.problems([f"v{i}" for i in range(1, 20)]) == ["1 sequence(s) that the data set does not have: v0"]


def content() -> dict[str, Any]:
    """A video called bear of two frames, 4 by 6, as YouTube-VIS has it: object 1 on the left, object 2 on the right."""
    left, right = np.zeros((2, 4, 6), np.uint8)
    left[:, :2], right[:, 4:] = 1, 1
    rles = [{"size": [4, 6], "counts": coco.encode(np.asfortranarray(m))["counts"].decode()} for m in (left, right)]
    return {
        "info": {"year": 2019},
        "videos": [{"id": 7, "file_names": ["bear/00000.jpg", "bear/00005.jpg"], "height": 4, "width": 6, "length": 2}],
        "annotations": [
            {"id": 20, "video_id": 7, "category_id": 3, "segmentations": [None, rles[1]]},
            {"id": 10, "video_id": 7, "category_id": 3, "segmentations": [rles[0], rles[0]]},
        ],
    }


def write(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    held = content()
    change(held)
    path.write_text(json.dumps(held))
    return path


def test_a_youtube_vis_file_numbers_its_objects(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.json", lambda held: None), "bear")
    assert found["00000"][0].tolist() == [1, 1, 0, 0, 0, 0]
    assert found["00005"][0].tolist() == [1, 1, 0, 0, 2, 2]


def test_names_of_videos_and_frames(tmp_path: Path) -> None:
    def rename(held: dict[str, Any]) -> None:
        held["videos"][0] |= {"name": "cub", "file_names": ["00000", "00005.png"]}

    assert list(read(write(tmp_path / "a.json", rename), "cub")) == ["00000", "00005"]


def test_what_is_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "{", "\x00", "[" * 100_000, '{"videos": NaN'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"cannot read .*a\.json.*give a JSON file of COCO RLE"):
            RleFile(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot read"):
        RleFile(path)
    path.write_text('[{"video_id": 1, "score": 0.5, "segmentations": []}]')
    with pytest.raises(ValueError, match=r'holds a list.*"videos"'):
        RleFile(path)
    with pytest.raises(ValueError, match=r"cannot read .*none\.json"):
        RleFile(tmp_path / "none.json")


def spoil(held: dict[str, Any]) -> None:
    """Everything that can be wrong with a file as a whole."""
    held["videos"] += [
        {"id": 7, "name": "bear", "file_names": [], "height": 4, "width": 6},
        {"id": 8, "name": "flat", "file_names": [], "height": -4, "width": 6},
        {"id": 9, "name": "lost"},
        "video",
    ]
    held["annotations"] += [
        {"id": 20, "video_id": 7, "object_id": 1, "segmentations": []},
        {"id": 21, "video_id": 7.5, "object_id": 1, "segmentations": []},
    ]


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Problems) as error:
        RleFile(write(tmp_path / "a.json", spoil))
    assert "a.json" in error.value.head
    assert error.value.found == [
        "1 of videos lack file_names (list), height (int), width (int): number 3",
        "1 of videos lack id (int), file_names (list), height (int), width (int): number 4",
        "1 of annotations lack video_id (int): number 3",
        "height and width are not sizes of an image: videos flat",
        "2 videos have the id 7",
        "2 annotations have the id 20",
        '2 videos have the name "bear"',
    ]


def test_other_files_that_are_wrong_as_a_whole(tmp_path: Path) -> None:
    def found(change: Callable[[dict[str, Any]], object]) -> list[str]:
        with pytest.raises(Problems) as error:
            RleFile(write(tmp_path / "a.json", change))
        return error.value.found

    assert found(dict.clear) == ['it has no list "videos"', 'it has no list "annotations"']
    assert found(lambda held: held["annotations"][0].update(video_id=3)) == [
        "annotations of videos that do not exist: video_id 3"
    ]
    assert found(lambda held: held["annotations"][0].pop("id")) == ["1 of annotations have neither object_id nor id"]


def test_what_is_wrong_with_a_video_its_sequence_says(tmp_path: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        for annotation, id_ in zip(held["annotations"], (300, 4), strict=True):
            annotation["object_id"] = id_
        again = {**held["annotations"][1], "id": 30}
        nameless = {**held["annotations"][1], "id": 31, "segmentations": []}
        del nameless["object_id"]
        held["annotations"] += [again, nameless, {**again, "id": 32, "object_id": 5, "segmentations": [None]}]
        held["videos"][0]["file_names"][1] = "bear/00000.png"

    assert sequence_of(write(tmp_path / "a.json", change), "bear").problems == [
        '2 frames have the name "00000"',
        "2 annotations have the object_id 4",
        "object_id 300 is not 1 to 255",
        "object_id None is not 1 to 255",
        "object 5 has 1 segmentations, the video 2 frames",
    ]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 6], "counts": "ab"},
        {"size": [4, 6], "counts": ""},
        {"size": [4, 6], "counts": "é0"},
        {"size": [4, 6], "counts": "0H0"},
        {"size": [4, 6], "counts": "o" * 40 + "0"},
        {"size": [4, 6], "counts": "5"},
        {"size": [4, 6], "counts": [20]},
        {"size": [4, 6], "counts": [20, 5]},
        {"size": [4, 6], "counts": [30, -6]},
        {"size": [4, 6], "counts": [12.0, 12]},
        {"size": [4, 6], "counts": ["24"]},
        {"size": [4, 6], "counts": None},
        {"size": [6, 4], "counts": [24]},
        {"size": 24, "counts": [24]},
        {"counts": [24]},
        [[0, 0, 3, 0, 3, 3]],
        "24",
    ],
)
def test_an_rle_that_does_not_decode(tmp_path: Path, rle: Any) -> None:
    def change(held: dict[str, Any]) -> None:
        held["annotations"][0]["segmentations"][1] = rle

    sequence = sequence_of(write(tmp_path / "a.json", change), "bear")
    assert sequence.read("00000").any()
    with pytest.raises(ValueError, match=r"a\.json: bear/00005: object 2: its RLE (is not|has size|does not decode)"):
        sequence.read("00005")


def test_two_objects_on_one_pixel(tmp_path: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        first = held["annotations"][1]["segmentations"][0]
        held["annotations"][0]["segmentations"][0] = first
        full = {"size": [4, 6], "counts": [0, 24]}
        held["annotations"].append({"id": 30, "video_id": 7, "segmentations": [None, full]})

    sequence = sequence_of(write(tmp_path / "a.json", change), "bear")
    with pytest.raises(ValueError, match=r"a\.json: bear/00000: objects 1 and 2 share pixels"):
        sequence.read("00000")
    with pytest.raises(ValueError, match=r"a\.json: bear/00005: objects 1 and 2 and 3 share pixels"):
        sequence.read("00005")
