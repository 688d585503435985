"""Whatever a library raises about a file names the file; what is no file, or promises too much, is not read."""

import json
import os
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

from vosbench.datasets.coco import Coco
from vosbench.datasets.youtube_vos import YoutubeVos
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.inference.prediction_folder import PredictionFolder
from vosbench.nn.optical_flow import Raft
from vosbench.nn.weight_files import read
from vosbench.tasks import prepare
from vosbench.training.checkpointing import MetricsFile, WholeFiles
from vosbench.util.errors import Problems, UserError
from vosbench.util.reading import read_json, reading
from vosbench.video.images import image_size, read_image, read_label_map, write_label_map

Command = Callable[..., Any]
READERS: list[Callable[[Path], object]] = [
    read_image,
    image_size,
    read_label_map,
    read,
    lambda path: read_json(path, "", "restore it"),
]


class Odd(Exception):
    """What a library may raise."""


@pytest.mark.parametrize(
    "error", [Odd("a\nb"), Odd(), MemoryError(), RecursionError("x"), EOFError(), SyntaxError("x")]
)
def test_any_exception_becomes_one_line(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(UserError) as caught, reading(path, "mask", "restore it"):
        raise error
    assert str(caught.value).startswith(f"cannot read mask {path}: ")
    assert str(caught.value).endswith("; restore it")
    assert len(str(caught.value).splitlines()) == 1
    assert ": ;" not in str(caught.value)


def test_what_the_user_can_mend_passes_as_it_is_and_interrupts_too(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match=r"^mine$"), reading(tmp_path / "a", "mask", "restore it"):
        raise UserError("mine")
    with pytest.raises(KeyboardInterrupt), reading(tmp_path / "a", "mask", "restore it"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("read_it", READERS)
def test_pipes_folders_and_devices_are_named_and_not_opened(tmp_path: Path, read_it: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for path, kind in (
        (tmp_path / "pipe.png", "a pipe"),
        (tmp_path / "folder.png", "a folder"),
        (Path("/dev/zero"), "a device"),
    ):
        with pytest.raises(UserError, match=f"cannot read .*{path}: it is {kind}, not a file; "):
            read_it(path)


def test_a_pipe_among_predictions_does_not_stop_evaluation(command: Command, davis: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    (davis / "Annotations/480p").rename(predictions)
    (predictions / "a").rename(predictions / "own")
    (davis / "Annotations/480p").symlink_to(predictions)
    (predictions / "own").rename(predictions / "a")
    copy = tmp_path / "copy"
    for name in "abc":
        (copy / name).mkdir(parents=True)
        for mask in (predictions / name).iterdir():
            (copy / name / mask.name).write_bytes(mask.read_bytes())
    (copy / "b/00002.png").unlink()
    os.mkfifo(copy / "b/00002.png")
    words = ["evaluate", "dataset=davis2017", f"dataset.root={davis}", f"predictions={copy}", "workers=0", "pictures=0"]
    command(*words).error(1, f"cannot read mask {copy}/b/00002.png: it is a pipe, not a file")


def png(path: Path, height: int, width: int) -> None:
    """A PNG with a header and no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(4) + b"IDAT"
    )


def jpeg(path: Path, height: int, width: int) -> None:
    """A small JPEG whose header promises another size."""
    Image.new("RGB", (96, 64)).save(path, "JPEG")
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "size", "why"),
    [
        (png, (65_535, 65_535), "by its header it has 4295 million pixels, more than the 179 million that are read"),
        (jpeg, (65_535, 65_535), "by its header it has 4295 million pixels, more than the 179 million that are read"),
        (
            jpeg,
            (10_000, 10_000),
            r"by its header it has 10000×10000 pixels \(rows×columns\), more than .* bytes can hold",
        ),
    ],
)
def test_headers_that_promise_too_much(tmp_path: Path, make: Any, size: tuple[int, int], why: str) -> None:
    path = tmp_path / "bear.img"
    make(path, *size)
    start = time.process_time()
    tracemalloc.start()
    for read_it in (read_image, image_size, read_label_map):
        with pytest.raises(UserError, match=f"cannot read (image|mask) {path}: {why}; "):
            read_it(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert time.process_time() - start < 1


def test_large_images_are_read_without_a_word(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Pillow warns above 89 million pixels."""
    Image.new("1", (10_000, 9_000), 1).save(tmp_path / "large.png")
    assert image_size(tmp_path / "large.png") == (9_000, 10_000)
    assert read_label_map(tmp_path / "large.png").all()
    assert not recwarn.list


def test_check_and_predict_name_a_frame_with_such_a_header(command: Command, davis: Path) -> None:
    frame = davis / "JPEGImages/480p/b/00002.jpg"
    jpeg(frame, 65_535, 65_535)
    words = ["dataset=davis2017", f"dataset.root={davis}"]
    command("check", *words, "workers=0").error(1, "frames that cannot be read: 1 of 3 videos (b/00002.jpg)")
    done = command("predict", *words, "method=copy_first", "device=cpu")
    done.error(1, f"cannot read image {frame}: by its header it has 4295 million pixels")


@pytest.mark.parametrize("length", [2_000_000, 30_000_000])
def test_long_notes_in_a_png_are_no_reason_not_to_read_it(tmp_path: Path, length: int) -> None:
    path, labels = tmp_path / "00000.png", np.arange(64, dtype=np.uint8).reshape(8, 8)
    write_label_map(path, labels)
    notes = PngInfo()
    notes.add_text("XML:com.adobe.xmp", "x" * length, zip=True)
    Image.open(path).save(path, pnginfo=notes)
    np.testing.assert_array_equal(read_label_map(path), labels)
    Image.fromarray(labels).convert("RGB").save(path, pnginfo=notes)
    assert read_image(path).shape == (8, 8, 3)


def saved(path: Path) -> bytes:
    """A file of weights in the format that its ending says."""
    weights = {"weight": torch.zeros(2, 2)}
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=path.suffix != ".pth")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.pth", "a.safetensors", "a.npz"])
def test_checkpoints_that_are_empty_cut_or_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = saved(path)
    assert list(read(path)[0]) == ["weight"]
    remedy = "give a whole file, or remove it$"
    path.write_bytes(b"")
    with pytest.raises(UserError, match=f"^cannot read checkpoint {path}: it is empty; {remedy}"):
        read(path)
    for content in (whole[:1], whole[: len(whole) // 2], b"\0" * 200, b"<html>not found</html>", b"{" * 3000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"^cannot read checkpoint {path}: .*; {remedy}") as caught:
            read(path)
        assert "weights_only" not in str(caught.value)  # torch's advice to load it unsafely


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"state_dict": None}, "holds no weights by name"),
        ({"net": {"a": torch.zeros(1)}, "epoch": 3}, "holds no weights by name"),
        ({5: torch.zeros(1)}, "holds no weights by name"),
        ({"state_dict": {"a": torch.zeros(1)}, "vosbench": 5}, "what it says of its training is damaged"),
        ({"state_dict": {"a": torch.zeros(1)}, "vosbench": {"method": 5}}, "what it says of its training is damaged"),
        ({"state_dict": {"a": torch.zeros(1)}, "vosbench": {"training_data": "x"}}, "what it says of its training"),
    ],
)
def test_checkpoints_of_other_content(tmp_path: Path, content: Any, why: str) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=rf"checkpoint .*a\.ckpt.* {why}"):
        read(tmp_path / "a.ckpt")


def test_safetensors_with_damaged_notes(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"vosbench": "[]"})
    with pytest.raises(UserError, match=r"a\.safetensors: what it says of its training is damaged"):
        read(tmp_path / "a.safetensors")


def test_weights_of_flow_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "raft.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"raft\.pth: it is empty"):
        _ = Raft("small", str(tmp_path / "raft.pth")).net
    torch.save({"a": torch.zeros(1)}, tmp_path / "raft.pth")
    with pytest.raises(UserError, match=r"cannot read flow\.weights .*raft\.pth: .*flow=dis, which needs none"):
        _ = Raft("small", str(tmp_path / "raft.pth")).net


def test_what_training_resumes_from(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"")
    with pytest.raises(UserError, match=rf"cannot read checkpoint {path}: .*overwrite=true"):
        WholeFiles().load_checkpoint(path)
    torch.save({"state_dict": {}, "loops": {}}, path)
    with pytest.raises(UserError, match=rf"cannot resume from checkpoint {path}: it lacks callbacks, global_step, "):
        WholeFiles().load_checkpoint(path)


def test_a_table_of_metrics_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for content in ("loss\n1\n", "step,loss\nx,1\n"):
        path.write_text(content)
        with pytest.raises(UserError, match=rf"cannot read {path}: .*move it away"):
            MetricsFile(path).log_metrics({"loss": 1.0}, 5)


DEEP = "[" * 100_000


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xff", DEEP.encode(), b'{"a": ' + b"9" * 5000 + b"}"])
def test_json_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "valid/meta.json"
    (path.parent / "JPEGImages/a").mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^cannot read {path}: .*; restore this file$"):
        YoutubeVos(tmp_path)
    with pytest.raises(UserError, match=f"^cannot read {path}: .*; give a JSON file of COCO RLE$"):
        open_source(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_of_other_programs(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes('{"videos": "ü"}'.encode(encoding))
    assert read_json(tmp_path / "a.json", "", "") == {"videos": "ü"}


def test_a_hundred_thousand_missing_videos(tmp_path: Path) -> None:
    path = tmp_path / "valid/meta.json"
    (path.parent / "JPEGImages").mkdir(parents=True)
    videos = {f"{number:010}": {"objects": {"1": {"frames": ["00000"]}}} for number in range(100_000)}
    path.write_text(json.dumps({"videos": videos}))
    start = time.process_time()
    with pytest.raises(Problems, match=r"meta\.json does not fit.*100000 videos are not in .*0000000000, .*, …"):
        YoutubeVos(tmp_path)
    assert time.process_time() - start < 10  # about 1 s


@pytest.mark.parametrize(
    ("object_", "why"),
    [
        ({"9" * 5000: {"frames": ["00000"]}}, "object id 99999999999999999999 is not 1 to 254"),
        ({"1": {"frames": ["00000"], "category": ["cat"]}}, "object 1 has a category that is no text"),
        ({"²": {"frames": ["00000"]}}, "object id ² is not 1 to 254"),
    ],
)
def test_odd_objects_of_meta_json(tmp_path: Path, object_: Any, why: str) -> None:
    folder = tmp_path / "valid/JPEGImages/a"
    folder.mkdir(parents=True)
    (folder / "00000.jpg").touch()
    (tmp_path / "valid/meta.json").write_text(json.dumps({"videos": {"a": {"objects": object_}}}))
    with pytest.raises(Problems, match=why):
        YoutubeVos(tmp_path, seen=["cat"])


def test_run_lengths_are_compared_with_the_video_before_they_are_decoded(
    command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than 1 KB of JSON asks for 170 MB a frame; ten times that is refused whatever the video."""
    decoded: list[object] = []
    monkeypatch.setattr("vosbench.evaluation.predictions.rle.decode", lambda *arguments: decoded.append(arguments))
    names = {"a": 6, "b": 5, "c": 4}
    side = 13_000

    def write(side: int) -> None:
        rle = {"size": [side, side], "counts": [0, side * side]}
        videos = [
            {"id": id_, "name": name, "file_names": [f"{i:05}" for i in range(count)], "height": side, "width": side}
            for id_, (name, count) in enumerate(names.items())
        ]
        found = [{"id": id_, "video_id": id_, "segmentations": [rle] * names["abc"[id_]]} for id_ in range(3)]
        Path("large.json").write_text(json.dumps({"videos": videos, "annotations": found}))

    write(side)
    words = ["dataset=davis2017", f"dataset.root={davis}", "predictions=large.json"]
    done = command("evaluate", *words, "workers=0", "pictures=0")
    done.error(1, "is 13000×13000 (rows×columns), its annotation 48×64: save it at that size")
    command("pack", *words, "output=out.json").error(1, "13000×13000 (rows×columns), the frame is 48×64")
    assert not decoded
    write(40_000)
    with pytest.raises(Problems, match="height and width are not sizes of an image: videos a, b, c"):
        open_source(Path("large.json"))


@pytest.mark.parametrize(
    ("segments", "why"),
    [
        ({"size": [40_000, 40_000], "counts": [1_600_000_000]}, r"1\.jpg: its RLE has size \[40000, 40000\]"),
        ({"size": [48, 64], "counts": "oooo"}, r"1\.jpg: its RLE does not decode"),
        ([[0, 0, 1e12, 0, 1e12, 1e12]], r"instances_val\.json has no instances"),
        ([[0, 0, 1e999, 0, 1, 1]], r"instances_val\.json has no instances"),
        ([[[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]], r"instances_val\.json has no instances"),
    ],
)
def test_shapes_of_coco_are_judged_before_they_are_drawn(tmp_path: Path, segments: Any, why: str) -> None:
    for folder in ("val", "annotations"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "val/1.jpg")
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 48, "width": 64}],
        "annotations": [{"id": 1, "image_id": 1, "area": 9, "segmentation": segments}],
    }
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=why):
        Coco(tmp_path, split="val").videos[0].annotation(0)


RECORD: dict[str, Any] = {
    "fingerprint": {},
    "commit": None,
    "latency_ms": [1.0],
    "size": [48, 64],
    "peak_memory_mb": 3.0,
    "facts": {},
}


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "null", "5", "", "{", DEEP, "\xff"]
    + [json.dumps({**RECORD, key: {"x": [1]}}) for key in ("commit", "latency_ms", "size", "peak_memory_mb", "facts")],
)
def test_records_of_predictions_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    folder, record = PredictionFolder(tmp_path), tmp_path / ".records/a.json"
    for place in ("a", ".records"):
        (tmp_path / place).mkdir()
    record.write_text(json.dumps(RECORD))
    assert folder.read("a") is not None
    record.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=f"^cannot read {record}: .*; remove it and {tmp_path}/a$"):
        folder.read("a")


def test_a_broken_manifest_of_prepare(davis: Path, tmp_path: Path) -> None:
    data = {"_target_": "vosbench.datasets.davis.Davis", "root": str(davis), "split": "val", "sequences": ["a"]}
    options = prepare.Options(
        dataset={**data, "year": 2017},
        output=str(tmp_path / "out"),
        size=24,
        square=False,
        quality=95,
        workers=0,
        overwrite=False,
    )
    prepare.run(options)
    manifest = tmp_path / "out/JPEGImages/24p/a/.prepared.json"
    for content in ("", "{", DEEP):
        manifest.write_text(content)
        with pytest.raises(UserError, match=f"cannot read {manifest}: .*; set overwrite=true, or another output"):
            prepare.run(options)
    prepare.run(replace(options, overwrite=True))
    prepare.run(options)
