"""Damaged files of every kind: each is read right, or named in one error, within 10 seconds and 1 GB.

Each reader gets a few hundred seeded mutations of whole files: flipped bits, cuts, blocks of zeros, bytes that are put
in or repeated, numbers that are huge, negative or none, edited headers; and JSON with some of its parts replaced.
"""

import json
import logging
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vosbench.audit.inspection import inspect
from vosbench.datasets.coco import Coco
from vosbench.datasets.folders import read_list
from vosbench.datasets.youtube_vos import YoutubeVos
from vosbench.evaluation.board import tables
from vosbench.evaluation.board.latex import to_latex
from vosbench.evaluation.board.leaderboard import boards
from vosbench.evaluation.board.rows import load
from vosbench.evaluation.predictions.rle import RleFile, write_rle
from vosbench.evaluation.results import records
from vosbench.evaluation.results.picture_index import read_facts, read_pictures
from vosbench.evaluation.results.records import Record
from vosbench.inference.prediction_folder import PredictionFolder
from vosbench.nn.weight_files import read
from vosbench.util.errors import UserError
from vosbench.video.folder_video import FolderVideo
from vosbench.video.images import image_size, read_image, read_label_map, write_label_map
from vosbench.video.video_file import VideoFile
from vosbench.weights.loading import _load as load_weights

SECONDS, MEGABYTES = 10, 1024
ODD: list[Any] = [
    None,
    True,
    "",
    "x",
    "<script>",
    "\x1b[31m\n",
    0,
    -1,
    1e999,
    float("nan"),
    2**31,
    10**400,
    0.5,
    [],
    {},
    [[]],
    [1],
    {"x": 1},
]
NUMBERS = [
    b"0",
    b"-1",
    b"99999999",
    b"9" * 30,
    b"9" * 5000,
    b"1e999",
    b"NaN",
    b"null",
    b"[" * 5000,
    b'"x"',
    b"{}",
    b"\xff",
]
Random = np.random.Generator


def peak(*, reset: bool = False) -> float:
    """The most memory that this process has held since the last reset, in MB."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def damaged(content: bytes, random: Random) -> bytes:
    """The content with one to three mutations."""
    data = bytearray(content)
    for _ in range(random.integers(1, 4)):
        at, length = int(random.integers(len(data) + 1)), int(2 ** random.uniform(0, 10))
        match random.integers(9):
            case 0 if data:
                for place in random.integers(len(data), size=random.integers(1, 9)):
                    data[place] ^= 1 << random.integers(8)
            case 1:
                del data[at:]
            case 2:
                data[at : at + length] = bytes(len(data[at : at + length]))
            case 3:
                data[at:at] = random.bytes(length)
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                del data[at : at + length]
            case 6:
                place = int(random.integers(min(len(data), 64) + 1))
                data[place : place + 4] = bytes.fromhex(
                    str(random.choice(["ffffffff", "00000000", "7fffffff", "0000ffff"]))
                )
            case _:
                found = list(re.finditer(rb"\d+", data))
                if found:
                    chosen = found[random.integers(len(found))]
                    data[chosen.start() : chosen.end()] = NUMBERS[random.integers(len(NUMBERS))]
    return bytes(data)


def other_json(content: bytes, random: Random) -> bytes:
    """JSON with a part replaced, removed or added."""
    held = json.loads(content)
    node, steps = held, int(random.integers(1, 6))
    for _ in range(steps):
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = keys[random.integers(len(keys))]
        if isinstance(node[key], dict | list) and random.random() < 0.7:
            node = node[key]
            continue
        match random.integers(4):
            case 0:
                del node[key]
            case 1 if isinstance(node, dict):
                node[str(ODD[random.integers(len(ODD))])] = node[key]
            case _:
                node[key] = ODD[random.integers(len(ODD))]
        break
    return json.dumps(held).encode()


def png_with_header(content: bytes, random: Random) -> bytes:
    """A PNG with other sizes, bits and colours, and the right checksum."""
    header = list(struct.unpack(">IIBBBBB", content[16:29]))
    for _ in range(random.integers(1, 3)):
        place = random.integers(7)
        header[place] = (
            int(random.choice([0, 1, 8, 70000, 2**31 - 1]))
            if place < 2
            else int(random.choice([0, 1, 2, 3, 4, 6, 8, 16]))
        )
    chunk = b"IHDR" + struct.pack(">IIBBBBB", *header)
    return content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]


def jpeg_with_header(content: bytes, random: Random) -> bytes:
    """A JPEG with another height and width."""
    at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 5
    sizes = random.choice([0, 1, 64, 1000, 13000, 65535], size=2)
    return content[:at] + struct.pack(">HH", *map(int, sizes)) + content[at + 4 :]


Mutation = Callable[[bytes, Random], bytes]


def _outcome(use: Callable[[], object]) -> str | None:
    """What a user is told, or None if there was nothing to tell. Any exception but a UserError passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            use()
        except UserError as error:
            return " - ".join(error.lines())
    return None


def fuzz(file: Path, use: Callable[[], object], count: int, *mutations: Mutation, named: tuple[str, ...] = ()) -> int:
    """Reads `count` mutations of a file. Returns how many were named in an error; the others were read."""
    whole, random, wrong = file.read_bytes(), np.random.default_rng(0), 0
    use()
    for number in range(count):
        mutation = (damaged, *mutations)[number % (1 + len(mutations))]
        file.write_bytes(mutation(whole, random))
        before, start = peak(reset=True), time.process_time()
        said = _outcome(use)
        if said is not None:
            wrong += 1
            assert any(name in said for name in (file.name, *named)), said
            assert said.isprintable(), said
        assert time.process_time() - start < SECONDS, number
        assert peak() - before < MEGABYTES, number
    file.write_bytes(whole)
    use()
    return wrong


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for name in ("libav", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def picture() -> Any:
    return np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)


def label_map() -> Any:
    labels = np.zeros((48, 64), np.uint8)
    labels[8:24, 8:40], labels[30:44, 20:60] = 1, 2
    return labels


@pytest.mark.parametrize("suffix", ["jpg", "progressive.jpg", "png", "webp"])
def test_images(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"00000.{suffix}"
    settings: dict[str, Any] = {"progressive": True} if "progressive" in suffix else {}
    Image.fromarray(picture()).save(file, **settings)
    mutations = {"png": [png_with_header], "webp": []}.get(suffix, [jpeg_with_header])

    def use() -> None:
        assert read_image(file).ndim == 3
        assert len(image_size(file)) == 2

    wrong = fuzz(file, use, 300, *mutations)
    assert wrong > 30


def test_label_maps(tmp_path: Path) -> None:
    file = tmp_path / "00000.png"
    write_label_map(file, label_map())
    wrong = fuzz(file, lambda: read_label_map(file), 400, png_with_header)
    assert wrong > 100


def test_check_names_damaged_files(tmp_path: Path) -> None:
    """It raises nothing."""
    image, mask = tmp_path / "f/00000.jpg", tmp_path / "m/00000.png"
    for path in (image, mask):
        path.parent.mkdir()
    Image.fromarray(picture()).save(image)
    write_label_map(mask, label_map())
    video = FolderVideo("f", (image,), {"00000": mask})
    found = []
    for file, mutation in ((image, jpeg_with_header), (mask, png_with_header)):
        fuzz(file, lambda: found.append(bool(inspect(video, mask.parent, True).found)), 100, mutation)
    assert sum(found) > 70


@pytest.mark.parametrize("suffix", ["mp4", "avi", "gif"])
def test_videos(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"clip.{suffix}"
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream({"mp4": "mpeg4", "avi": "mpeg4", "gif": "gif"}[suffix], rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8" if suffix == "gif" else "yuv420p"
        for shift in range(6):
            frame = av.VideoFrame.from_ndarray(np.roll(picture(), shift, 1), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())

    def use() -> None:
        video = VideoFile(file)
        try:
            names = video.frame_names
            for index in {0, len(names) // 2, len(names) - 1}:
                assert video.frame(index).ndim == 3
        finally:
            video.close()

    wrong = fuzz(file, use, 200)
    assert wrong > 5


def test_lists(tmp_path: Path) -> None:
    file = tmp_path / "val.txt"
    file.write_text("".join(f"video{number}\n" for number in range(30)))
    fuzz(file, lambda: read_list(file), 300)


def test_meta_json(tmp_path: Path) -> None:
    root = tmp_path / "valid"
    objects = {"1": {"category": "cat", "frames": ["00000", "00005"]}, "2": {"category": "dog", "frames": ["00005"]}}
    for name in ("a", "b"):
        for frame in ("00000", "00005"):
            for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
                (root / kind / name).mkdir(parents=True, exist_ok=True)
                (root / kind / name / f"{frame}.{suffix}").touch()
    file = root / "meta.json"
    file.write_text(json.dumps({"videos": {name: {"objects": objects} for name in ("a", "b")}}))

    def use() -> None:
        YoutubeVos(tmp_path)
        YoutubeVos(tmp_path, seen=file)

    wrong = fuzz(file, use, 600, other_json)
    assert wrong > 100


def test_coco_annotations(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.fromarray(picture()).save(tmp_path / "val/1.jpg")
    rle = {"size": [48, 64], "counts": [100, 500, 2472]}
    outline = [[5.0, 5.0, 30.0, 5.0, 30.0, 40.0, 5.0, 40.0]]
    shapes = [{"segmentation": rle, "area": 500}, {"segmentation": outline, "area": 800}]
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 48, "width": 64}],
        "annotations": [{**shape, "id": i, "image_id": 1, "iscrowd": 0} for i, shape in enumerate(shapes)],
    }
    file = tmp_path / "annotations/instances_val.json"
    file.write_text(json.dumps(content))

    def use() -> None:
        for video in Coco(tmp_path, split="val").videos:
            video.annotation(0)

    wrong = fuzz(file, use, 600, other_json, named=("1.jpg", "/val/"))
    assert wrong > 100


def test_run_lengths(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    write_rle(file, [(name, [(f"{i:05}", label_map()) for i in range(3)]) for name in ("a", "b")])

    def use() -> None:
        source = RleFile(file)
        for sequence in filter(None, map(source.sequence, ("a", "b"))):
            sequence.digest()
            for frame in sequence.names:
                assert sequence.read(frame).shape == sequence.size

    wrong = fuzz(file, use, 800, other_json)
    assert wrong > 200


def weights() -> dict[str, torch.Tensor]:
    return {"weight": torch.randn(8, 4), "bias": torch.randn(8)}


def save_zip(file: Path) -> None:
    torch.save({"state_dict": weights(), "vosbench": {"method": "x", "training_data": ["y"]}, "global_step": 3}, file)


def save_legacy(file: Path) -> None:
    torch.save(weights(), file, _use_new_zipfile_serialization=False)


def save_safetensors(file: Path) -> None:
    save_file(weights(), file, {"vosbench": json.dumps({"method": "x", "training_data": ["y"], "steps": 3})})


@pytest.mark.parametrize(
    ("name", "save"), [("last.ckpt", save_zip), ("old.pth", save_legacy), ("small.safetensors", save_safetensors)]
)
def test_checkpoints(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    file = tmp_path / name
    save(file)

    def use() -> None:
        state, metadata = read(file)
        load_weights(torch.nn.Linear(4, 8), state, file, metadata.get("training"))

    wrong = fuzz(file, use, 400)
    assert wrong > 200


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs with a record each; the first is a/results/d-val-davis.json."""
    for run, shift in (("a", 0.0), ("b", 0.1)):
        objects = {f"v{i}_1": {"J-Mean": 0.5 + shift, "F-Mean": 0.1 * i + shift} for i in range(5)}
        record = Record(
            method=run,
            checkpoint={"name": "x.ckpt", "sha256": "ab" * 32},
            dataset="d",
            split="val",
            protocol="davis",
            resolution="480p",
            frames="all",
            subset={"videos": 5, "of": 9, "max_frames": None},
            scores={"J&F-Mean": 0.4, "J-Mean": 0.5, "F-Mean": 0.3},
            objects=objects,
            parameters=1000,
            remarks=["none"],
            speed={"fps": 3.0, "latency_ms": {"p50": 3.0, "p95": 4.0}, "peak_memory_mb": 20.0, "device": "cpu"},
            provenance={"hashes": {"annotations": "ab"}, "commits": []},
        )
        arrays = {f"{name}/{measure}": np.linspace(0, 1, 9) for name in objects for measure in "JF"}
        records.write(record, arrays, tmp_path / "runs" / run / "results/d-val-davis.json")
    return tmp_path / "runs"


def test_records(runs: Path) -> None:
    """The other record is always shown."""
    file, kept = runs / "a/results/d-val-davis.json", []

    def use() -> None:
        rows = load(runs)
        made = boards(rows, resamples=20) + boards(rows, mixed=True, resamples=20)
        for text in (tables.to_csv(made), tables.to_markdown(made), to_latex(made)):
            assert "\x1b" not in text
            text.encode()
        kept.append([row.run for row in rows])

    fuzz(file, use, 200, other_json)
    assert all("b" in found for found in kept)
    assert sum(len(found) == 1 for found in kept) > 70


def test_curves(runs: Path) -> None:
    record = runs / "a/results/d-val-davis.json"
    wrong = fuzz(records.frames_path(record), lambda: records.read_curves(record), 300)
    assert wrong > 100


def test_indices_of_pictures(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.jpg")
    file, found = tmp_path / "pictures.json", []
    pictures = [{"kind": "frame", "file": "a.jpg", "sequence": "a", "caption": "x"}]
    facts = {"a": {"attributes": ["x"], "frames": {"00001": 1}}}
    file.write_text(json.dumps({"version": 2, "videos": facts, "pictures": pictures}))

    def use() -> None:
        read_facts(tmp_path)
        found.append(read_pictures(tmp_path))

    fuzz(file, use, 300, other_json)
    assert 30 < sum(map(len, found)) < 270


def test_records_of_predictions(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".records").mkdir()
    file = tmp_path / ".records/a.json"
    made = {"code": {"x": "ab"}, "recipe": {"y": "1"}, "data": "cd", "weights": "ef"}
    facts = {"algorithm": "x", "checkpoint": {"name": "n", "sha256": "ab"}, "inference": None}
    content = {"fingerprint": made, "commit": None, "latency_ms": [1.0, 2.0], "size": [48, 64], "peak_memory_mb": 3.0}
    file.write_text(json.dumps({**content, "facts": facts}))
    folder = PredictionFolder(tmp_path)

    def use() -> None:
        folder.facts(["a"])
        folder.commits(["a"])
        found = folder.read("a")
        assert found is not None
        found.fingerprint.differences(found.fingerprint)

    wrong = fuzz(file, use, 600, other_json)
    assert wrong > 150
