"""`vosbench check`: every problem and note alone and all at once, with video, file and remedy; hashes; real data."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from vosbench.audit.findings import Finding, Note, Problem, advice
from vosbench.audit.findings import lines as lines_of
from vosbench.evaluation.protocols.protocol import known_protocol, protocol_named
from vosbench.tasks.check import Options, run
from vosbench.util import errors
from vosbench.video.images import write_label_map
from vosbench.video.video import Video

Command = Callable[..., Any]
SIZE = (16, 24)


def advise(kind: Problem | Note, protocol: str = "davis") -> str | None:
    return advice(kind, protocol_named(protocol).advice)


class Found(NamedTuple):
    """What `run` says: the lines of the summary, the notes and the problems."""

    summary: str
    notes: list[str]
    problems: list[str]


NO_METHOD: dict[str, Any] = {"method": None, "memory": {}, "inference": {}, "optimizer": None, "overrides": []}


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Found]:
    """Runs the verb in this process. Keys of the data set, or `stride`, `full`, `workers`."""

    def checked(root: Path, target: str = "davis.Davis", **keys: Any) -> Found:
        options: dict[str, Any] = {"stride": 8, "full": True, "workers": 0}
        options |= {key: keys.pop(key) for key in list(keys) if key in options}
        options |= NO_METHOD
        keys = {"resolution": None, **keys} if target == "davis.Davis" else keys
        problems: list[str] = []
        capsys.readouterr()
        try:
            run(Options(dataset={"_target_": f"vosbench.datasets.{target}", "root": str(root), **keys}, **options))
        except errors.Problems as error:
            problems = error.found
        out = capsys.readouterr().out
        notes = [line.removeprefix("  - ") for line in out.splitlines() if line.startswith("  - ")]
        assert ("no problems found" in out) == (not problems)
        return Found(out.split("notes\n")[0], notes, problems)

    return checked


def square(*ids: int) -> np.ndarray:
    """A mask with one square of each id."""
    labels = np.zeros(SIZE, np.uint8)
    for position, id_ in enumerate(ids):
        labels[2:6, 2 + 5 * position : 6 + 5 * position] = id_
    return labels


def write_video(root: Path, name: str, count: int = 4, masks: int | None = None) -> tuple[Path, Path]:
    """A video without fault, as folders of images and of masks: 16×24 pixels, object 1."""
    images, labels = root / "JPEGImages" / name, root / "Annotations" / name
    for folder in (images, labels):
        folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (count, *SIZE, 3), np.uint8)
    for index in range(count):
        Image.fromarray(noise[index]).save(images / f"{index:05}.jpg")
    for index in range(count if masks is None else masks):
        write_label_map(labels / f"{index:05}.png", square(1))
    return images, labels


def write_grey(path: Path, labels: np.ndarray, depth: int) -> None:
    """A grey PNG of 1 to 16 bits, which Pillow cannot write."""
    bits = (labels[..., None].astype(int) >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.reshape(len(labels), -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], depth, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    for kind, chunk in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(chunk)) + kind + chunk + struct.pack(">I", zlib.crc32(kind + chunk))
    path.write_bytes(content)


def write_masks(labels: Path, *masks: np.ndarray) -> None:
    for index, mask in enumerate(masks):
        write_label_map(labels / f"{index:05}.png", mask)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def save(path: Path, mode: str) -> None:
    Image.fromarray(square(1)).convert(mode).save(path)


def smooth(path: Path) -> None:
    labels = square(255)
    labels[2, 2:6] = (30, 90, 180, 250)
    Image.fromarray(labels).save(path)


def repaint(path: Path, palette: Sequence[int] = (0, 0, 0, 9, 9, 9)) -> None:
    image = Image.fromarray(square(1))
    image.putpalette(palette)
    image.save(path)


def several(path: Path) -> None:
    images = [Image.new("RGB", SIZE[::-1], colour) for colour in ("red", "blue")]
    images[0].save(path, save_all=True, append_images=images[1:])


def turn(path: Path) -> None:
    """Lays a frame down, and says so in its EXIF."""
    image, exif = Image.open(path).transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def only(folder: Path, count: int) -> None:
    """Removes what comes after the first so many files."""
    for path in sorted(folder.iterdir())[count:]:
        path.unlink()


def shorten(images: Path, labels: Path) -> None:
    only(images, 2)
    only(labels, 2)


Spoil = Callable[[Path, Path], Any]
Expected = dict[Problem | Note, str]
# A name of the video, what is done to its folders of images and masks, and what is found: {kind: where}, V the video.
SPOILT: dict[str, tuple[Spoil, Expected]] = {
    "linked": (lambda i, m: dangle(i / "00002.jpg"), {Problem.BROKEN_LINK: "V/00002.jpg"}),
    "linked_mask": (lambda i, m: dangle(m / "00002.png"), {Problem.BROKEN_LINK: "V/00002.png"}),
    "cut": (lambda i, m: cut(i / "00002.jpg"), {Problem.FRAME_UNREADABLE: "V/00002.jpg"}),
    "text": (lambda i, m: (i / "00001.jpg").write_text("no image"), {Problem.FRAME_UNREADABLE: "V/00001.jpg"}),
    "cut_mask": (lambda i, m: cut(m / "00001.png"), {Problem.MASK_UNREADABLE: "V/00001.png"}),
    "flipped": (lambda i, m: flip_a_bit(m / "00001.png"), {Problem.MASK_UNREADABLE: "V/00001.png"}),
    "rgb": (lambda i, m: save(m / "00000.png", "RGB"), {Problem.COLOUR: "V/00000.png RGB"}),
    "rgba": (lambda i, m: save(m / "00003.png", "RGBA"), {Problem.COLOUR: "V/00003.png RGBA"}),
    "deep": (lambda i, m: write_grey(m / "00001.png", square(1), 16), {Problem.SIXTEEN_BIT: "V/00001.png"}),
    "big": (
        lambda i, m: write_grey(m / "00001.png", square(1) * np.int64(300), 16),
        {Problem.SIXTEEN_BIT: "V/00001.png", Problem.ABOVE_254: "V/00001.png id 300"},
    ),
    "bits2": (lambda i, m: write_grey(m / "00000.png", square(1), 2), {Problem.LOW_BIT: "V/00000.png"}),
    "bits4": (lambda i, m: write_grey(m / "00001.png", square(1), 4), {Problem.LOW_BIT: "V/00001.png"}),
    "smooth": (lambda i, m: smooth(m / "00001.png"), {Problem.ANTIALIASED: "V/00001.png"}),
    "small": (
        lambda i, m: write_label_map(m / "00003.png", square(1)[:8, :8]),
        {Problem.MASK_SIZE: "V/00003.png is 8×8, not 16×24"},
    ),
    "pages": (
        lambda i, m: several((i / "00002.jpg").rename(i / "00002.tif")),
        {Problem.FRAME_UNREADABLE: "V/00002.tif holds 2 pictures"},
    ),
    "turned": (
        lambda i, m: turn(i / "00002.jpg"),
        {Note.TURNED: "V/00002.jpg"},
    ),
    "sixteen": (
        lambda i, m: Image.fromarray(np.full(SIZE, 9999, np.uint16)).save((i / "00002.jpg").rename(i / "00002.png")),
        {Note.DEEP: "V/00002.png"},
    ),
    "renumbered": (
        lambda i, m: repaint(m / "00001.png", [128, 0, 0, 0, 0, 0]),
        {Note.CONTRADICTED: "V/00001.png index 0 is not black, and index 1 is"},
    ),
    "renamed": (
        lambda i, m: Image.new("L", SIZE[::-1], 3).save(m / "00001.png", format="JPEG"),
        {Problem.UNREAD: "V/00001.png is a JPEG"},
    ),
    "capital": (lambda i, m: (m / "00001.png").rename(m / "00001.PNG"), {}),
    "webp": (lambda i, m: Image.new("RGB", SIZE[::-1]).save((i / "00001.jpg").rename(i / "00001.webp")), {}),
    "grown": (
        lambda i, m: Image.new("RGB", (32, 16)).save(i / "00003.jpg"),
        {
            Problem.FRAME_SIZE: "V/00003.jpg is 16×32, not 16×24",
            Problem.MASK_SIZE: "V/00003.png is 16×24, not 16×32",
        },
    ),
    "orphan": (lambda i, m: write_label_map(m / "00009.png", square(1)), {Problem.ORPHAN: "V/00009.png"}),
    "animation": (lambda i, m: Image.new("RGB", (8, 8)).save(i / "00004.gif"), {Problem.UNREAD: "V/00004.gif"}),
    "jpeg": (lambda i, m: Image.new("L", (8, 8)).save(m / "00002.jpg"), {Problem.UNREAD: "V/00002.jpg"}),
    "twice": (
        lambda i, m: shutil.copy(i / "00001.jpg", i / "1.jpg"),
        {Problem.SAME_NUMBER: "V 1", Note.SPARSE: "V 4 of 5"},
    ),
    "nothing": (
        lambda i, m: write_masks(m, square()),
        {Problem.NO_START: "V/00000 empty mask", Note.LATE: "V ids 1", Note.EMPTY: "V 1 of 4"},
    ),
    "late_mask": (
        lambda i, m: (m / "00000.png").unlink(),
        {Problem.NO_START: "V/00000 no mask", Note.SPARSE: "V 3 of 4"},
    ),
    "bare": (lambda i, m: only(m, 0), {Problem.NO_START: "V"}),
    "short": (shorten, {Problem.TOO_SHORT: "V 2"}),
    "binary": (
        lambda i, m: write_masks(m, *4 * [square(255)]),
        {Note.BINARY: "V", Problem.NO_START: "V/00000 empty mask"},
    ),
    "grey": (lambda i, m: save(m / "00002.png", "L"), {Note.GREY: "V/00002.png"}),
    "black": (lambda i, m: repaint(m / "00002.png"), {Note.PALETTE: "V/00002.png"}),
    "first": (lambda i, m: only(m, 1), {Note.FEW: "V 1 of 4"}),
    "sparse": (lambda i, m: (m / "00001.png").unlink(), {Note.SPARSE: "V 3 of 4"}),
    "gap": (lambda i, m: write_masks(m, *4 * [square(1, 4)]), {Note.GAPS: "V no 2 3"}),
    "late": (lambda i, m: write_label_map(m / "00003.png", square(1, 2)), {Note.LATE: "V ids 2"}),
    "lost": (lambda i, m: write_masks(m, *3 * [square(1, 2)]), {Note.VANISHING: "V ids 2"}),
    "empty": (lambda i, m: write_label_map(m / "00001.png", square()), {Note.EMPTY: "V 1 of 4"}),
    "void": (lambda i, m: write_label_map(m / "00001.png", square(1, 255)), {Note.VOID: "V 1 of 4"}),
    "many": (
        lambda i, m: write_masks(m, *4 * [np.repeat(np.arange(24, dtype=np.uint8)[None], 16, axis=0)]),
        {Note.MANY: "V 23"},
    ),
    "jump": (
        lambda i, m: [shutil.move(path, path.with_stem("00009")) for path in (i / "00003.jpg", m / "00003.png")],
        {Note.JUMPS: "V after 2"},
    ),
    "stray": (lambda i, m: (i / "notes.txt").write_text("x"), {Note.STRAY: "V/notes.txt"}),
    "stray_mask": (lambda i, m: (m / "more").mkdir(), {Note.STRAY: "V/more"}),
}


def expected_lines(video: str) -> list[tuple[Problem | Note, str]]:
    return [(kind, place.replace("V", video, 1)) for kind, place in SPOILT[video][1].items()]


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_video_and_nothing_else_is_found(tmp_path: Path, check: Callable[..., Found], name: str) -> None:
    write_video(tmp_path, "whole")
    SPOILT[name][0](*write_video(tmp_path, name))
    found = check(tmp_path)
    for kinds, lines in ((Problem, found.problems), (Note, found.notes)):
        wanted = [(kind, place) for kind, place in expected_lines(name) if isinstance(kind, kinds)]
        assert len(lines) == len(wanted), lines
        for kind, place in wanted:
            assert f"{kind.what}: 1 of 2 videos ({place}); {advise(kind)}" in lines


def test_everything_that_is_wrong_is_said_in_one_run(tmp_path: Path, command: Command) -> None:
    for name, (spoil, _) in SPOILT.items():
        spoil(*write_video(tmp_path / "all", name))
    done = command(
        "check", "dataset=davis2017", f"dataset.root={tmp_path}/all", "dataset.resolution=null", "dataset.split=null"
    )
    assert done.status == 1
    assert done.err.splitlines()[0] == "vosbench: error: problems with davis2017 all"
    said = {"err": done.err.splitlines(), "out": done.out.splitlines()}
    for kind, place in (pair for name in SPOILT for pair in expected_lines(name)):
        lines = said["err" if isinstance(kind, Problem) else "out"]
        (line,) = [line for line in lines if line.startswith(f"  - {kind.what}: ")]
        assert place in line
        assert line.endswith(str(advise(kind)))
    assert len(said["err"]) == 1 + len(set(Problem) - {Problem.CUT})  # which only video files can be


def test_a_clean_set_is_summarised_and_nothing_is_written(davis: Path, command: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in davis.parent.rglob("*")}
    done = command("check", "dataset=davis2017", f"dataset.root={davis}", "stride=10")
    assert (done.status, done.err) == (0, "")
    expected = [
        "davis2017 val, resolution 480p",
        f"  root       {davis}",
        "  videos     3",
        "  frames     15, 15 annotated",
        "  objects    4, at most 2 in a video",
        "  sizes      1: 48×64 (3)",
        "  stride     10 divides the size of 0 of 3 videos",
    ]
    lines = done.out.splitlines()
    assert lines[:7] == expected
    assert lines[7].startswith("  sha256     ")
    assert lines[8:] == [
        "notes",
        f"  - late objects: 1 of 3 videos (b ids 2); {advise(Note.LATE)}",
        f"  - sizes not divisible by the stride: 3 of 3 videos (a 48×64, b 48×64, c 48×64); {Note.STRIDE.advice}",
        "no problems found",
    ]
    assert {path: path.stat().st_mtime_ns for path in davis.parent.rglob("*")} == before


def test_many_alike_are_one_line(tmp_path: Path, check: Callable[..., Found]) -> None:
    for name in "ab":
        for path in write_video(tmp_path, name)[1].iterdir():
            save(path, "RGB")
    (line,) = check(tmp_path).problems
    places = "a/00000.png RGB, a/00001.png RGB, a/00002.png RGB, a/00003.png RGB, b/00000.png RGB, …"
    assert line == f"{Problem.COLOUR.what}: 8 in 2 of 2 videos ({places}); {Problem.COLOUR.advice}"


def test_what_lies_beside_the_videos(tmp_path: Path, check: Callable[..., Found]) -> None:
    for name in "ab":
        write_video(tmp_path, name)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/val.txt").write_text("a\n")
    (tmp_path / "Annotations/ghost").mkdir()
    (tmp_path / "JPEGImages/readme").write_text("x")
    (tmp_path / "JPEGImages/c").symlink_to("nowhere")
    found = check(tmp_path, split="val")
    root = tmp_path.name
    assert found.problems == [f"broken links: 1 ({root}/JPEGImages/c); {Problem.BROKEN_LINK.advice}"]
    assert found.notes == [
        f"stray files and folders: 2 ({root}/JPEGImages/readme, {root}/Annotations/ghost); {Note.STRAY.advice}",
        f"folders that the list leaves out: 1 ({root}/JPEGImages/b); {Note.LEFT_OUT.advice}",
    ]
    (tmp_path / "JPEGImages/c").unlink()
    assert not any("leaves out" in note for note in check(tmp_path, exclude=["b"]).notes)


def test_a_set_that_cannot_be_made_says_why(davis: Path, command: Command) -> None:
    arguments = ("check", "dataset=davis2017", f"dataset.root={davis}")
    shutil.copy(davis / "JPEGImages/480p/a/00000.jpg", davis / "JPEGImages/480p/a/00000.png")
    command(*arguments).error(1, "JPEGImages/480p/a", "two images of one name", "keep one of each")
    with (davis / "ImageSets/2017/val.txt").open("a") as file:
        file.write("ghost\nphantom\n")
    command(*arguments).error(1, "2 listed videos", "ghost, phantom", "add or unlist them")
    command(*arguments, "stride=0").error(2, "stride=0: give 1 or more")


def test_unlabelled_videos_are_no_problem_when_all_are(tmp_path: Path, check: Callable[..., Found]) -> None:
    write_video(tmp_path, "a", masks=0)
    write_video(tmp_path, "b", 2, masks=0)
    found = check(tmp_path)
    assert not found.problems
    assert found.notes == [
        f"no annotations: 2 of 2 videos (a, b); {Note.UNLABELLED.advice}",
        f"1 or 2 frames: 1 of 2 videos (b 2); {advise(Note.SHORT)}",
    ]


def test_binary_sets(tmp_path: Path, check: Callable[..., Found]) -> None:
    """Masks of 0 and 255 are what DAVIS-2016 has; of several ids, its reader makes one object."""
    write_masks(write_video(tmp_path, "a")[1], *4 * [square(255)])
    write_masks(write_video(tmp_path, "b")[1], square(1, 2))
    found = check(tmp_path, binary=True)
    assert not found.problems
    assert "  objects    2, at most 1 in a video" in found.summary
    assert found.notes == [
        f"masks of 0 and 255: 1 of 2 videos (a); {advise(Note.BINARY)}",
        f"masks of several ids read as one object: 1 of 2 videos (b/00000.png); {Note.MERGED.advice}",
    ]


def test_objects_may_start_late_where_the_set_says_so(tmp_path: Path, check: Callable[..., Found]) -> None:
    write_masks(write_video(tmp_path, "a")[1], square())
    assert check(tmp_path).problems
    assert not check(tmp_path, late_objects=True).problems
    write_masks(write_video(tmp_path, "b")[1], *4 * [square()])
    assert check(tmp_path, late_objects=True).problems == [
        f"no object to start from: 1 of 2 videos (b all masks empty); {Problem.NO_START.advice}"
    ]


def test_headers_alone_show_sizes_and_kinds(tmp_path: Path, check: Callable[..., Found]) -> None:
    for name in ("small", "rgb", "bits2", "deep", "late_mask", "linked", "text", "nothing", "cut"):
        SPOILT[name][0](*write_video(tmp_path, name))
    found = check(tmp_path, full=False)
    kinds = [line.split(":")[0] for line in found.problems]
    header = ["BROKEN_LINK", "FRAME_UNREADABLE", "COLOUR", "SIXTEEN_BIT", "LOW_BIT", "MASK_SIZE", "NO_START"]
    assert kinds == [Problem[name].what for name in header]
    assert "(text/00001.jpg)" in found.problems[1]
    assert "(late_mask/00000 no mask)" in found.problems[-1]
    assert "not counted: full=false" in found.summary


def digest(found: Found) -> str:
    return next(line for line in found.summary.splitlines() if "sha256" in line)


def test_the_hash_is_of_what_the_set_holds(tmp_path: Path, check: Callable[..., Found]) -> None:
    one = tmp_path / "one"
    for name in "ab":
        write_video(one, name)
    two = tmp_path / "two"
    for path in sorted(one.rglob("*"), reverse=True):  # another order on disk
        if path.is_file():
            (two / path.relative_to(one)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, two / path.relative_to(one))
    first = digest(check(one))
    (two / "JPEGImages/a/notes.txt").write_text("x")
    assert digest(check(two, workers=2)) == first
    quick = digest(check(one, full=False))
    assert quick.split()[1] != first.split()[1]
    assert ("contents" in first, "not contents: full=false" in quick) == (True, True)
    changed = []
    write_label_map(two / "Annotations/a/00001.png", square(2))
    changed.append(digest(check(two)))
    (two / "JPEGImages/b/00003.jpg").rename(two / "JPEGImages/b/00004.jpg")
    changed.append(digest(check(two)))
    changed.append(digest(check(one, sequences=["a"])))
    (two / "JPEGImages/b").rename(two / "JPEGImages/c")
    changed.append(digest(check(two)))
    assert len({first, *changed}) == 5


def test_video_files(tmp_path: Path, check: Callable[..., Found]) -> None:
    import av

    for name in ("whole.mp4", "cut.mp4"):
        with av.open(tmp_path / name, "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width, stream.height, stream.pix_fmt = 34, 32, "yuv420p"
            noise = np.random.default_rng(0).integers(0, 255, (8, 32, 34, 3), np.uint8)
            for image in noise:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("x")
    found = check(tmp_path, "video_folder.VideoFolder")
    assert found.problems == [f"frames that cannot be read: 1 of 3 videos (text); {Problem.FRAME_UNREADABLE.advice}"]
    assert "  frames     16, 0 annotated" in found.summary
    assert "  sizes      1: 32×34 (2)" in found.summary
    assert [line.split(":")[0] for line in found.notes] == [
        kind.what for kind in (Note.UNLABELLED, Note.STRIDE, Note.STRAY)
    ]
    assert digest(found) != digest(check(tmp_path, "video_folder.VideoFolder", full=False))


def test_generated_videos(command: Command) -> None:
    done = command("check", "dataset=collage", "dataset.videos=2", "dataset.length=4", "workers=0")
    assert (done.status, done.err) == (0, "")
    assert "  root       none: generated\n  videos     2\n  frames     8, 8 annotated\n" in done.out


def test_youtube_vos_follows_its_meta(tmp_path: Path, check: Callable[..., Found]) -> None:
    """Object 3 is listed from frame 1 on but shown at 0 already; 4 is not listed; 5 is never shown."""
    labels = write_video(tmp_path / "valid", "a")[1]
    write_masks(labels, square(2, 3, 4), *3 * [square(2, 3)])
    stems = [f"{index:05}" for index in range(4)]
    objects = {"2": {"frames": stems}, "3": {"frames": stems[1:]}, "5": {"frames": stems[2:]}}
    (tmp_path / "valid/meta.json").write_text(json.dumps({"videos": {"a": {"objects": objects}}}))
    found = check(tmp_path, "youtube_vos.YoutubeVos")
    assert not found.problems
    assert "  objects    2, at most 2 in a video" in found.summary
    assert found.notes == [
        f"gaps in object ids: 1 of 1 videos (a no 1); {advise(Note.GAPS, 'youtube-vos')}",
        f"late objects: 1 of 1 videos (a ids 3); {advise(Note.LATE, 'youtube-vos')}",
        f"{Note.UNLISTED.what}: 1 of 1 videos (a/00000 ids 3 4); {Note.UNLISTED.advice}",
        f"objects of meta.json that no mask shows: 1 of 1 videos (a ids 5); {Note.NEVER_SHOWN.advice}",
    ]


def test_vip_has_classes_that_come_and_go(tmp_path: Path, check: Callable[..., Found]) -> None:
    """Gaps in ids, late and vanishing ones and empty masks are nothing to speak of there."""
    images, labels = write_video(tmp_path, "a")
    images.parent.rename(tmp_path / "Images")
    write_masks(labels, square(2), square(2, 5, 255), square(), square(5))
    labels.parent.rename(tmp_path / "ids")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ids").rename(tmp_path / "Annotations/Category_ids")
    found = check(tmp_path, "vip.Vip", split=None)
    assert not found.problems
    assert found.notes == ["void pixels (255): 1 of 1 videos (a 1 of 4); these are left out"]


@pytest.mark.parametrize("protocol", ["davis-unsupervised", "vos-benchmark", "youtube-vos", "vip", "another"])
def test_no_protocol_is_advised_by_the_rules_of_another(protocol: str) -> None:
    own = rules.advice if (rules := known_protocol(protocol)) else {}
    notes = lines_of(Note, [Finding(kind, "a", "a") for kind in Note], 1, own)
    assert len(notes) == len(Note) - list(own.values()).count(None)
    assert not [note for note in notes if "protocol davis " in note or "protocol=" in note or "{" in note]
    assert any("late_objects" in note for note in notes) == (protocol == "vos-benchmark")


def test_advice_names_its_protocol() -> None:
    assert str(advise(Note.GAPS, "davis-unsupervised")).startswith("protocol davis-unsupervised takes a gap")
    assert str(advise(Note.SHORT, "vos-benchmark")).startswith("protocol vos-benchmark, which scores neither")
    assert advise(Problem.TOO_SHORT, "vip") == Problem.TOO_SHORT.advice


class Deadly(Video):
    """Ends the process that unpickles it."""

    name, frame_names = "deadly", ()

    def frame(self, index: int) -> np.ndarray:
        raise AssertionError("it has no frames")

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_worker_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from vosbench.tasks import check

    class Stub:
        protocol, videos = "davis", (Deadly(),)

    monkeypatch.setattr(check, "made", lambda *_: Stub())
    with pytest.raises(BrokenProcessPool):
        run(Options(dataset={}, stride=8, full=True, workers=1, **NO_METHOD))


@pytest.mark.real
def test_real_sets(real_data: Path, check: Callable[..., Found]) -> None:
    """Empty masks were counted with Pillow alone."""
    train = real_data / "davis2016-train-256p"
    keys = {"split": "train", "year": 2016, "resolution": "256p", "sequences": ["bmx-bumps", "surf"]}
    found = check(train, "davis.Davis", **keys)
    assert not found.problems
    assert found.notes == [
        f"objects that vanish for good: 1 of 2 videos (surf ids 1); {advise(Note.VANISHING)}",
        f"empty masks: 2 of 2 videos (bmx-bumps 14 of 90, surf 1 of 55); {advise(Note.EMPTY)}",
    ]
    found = check(real_data / "davis2017-240p", split="train", year=2017, resolution="240p")
    assert not found.problems
    assert "  frames     80, 80 annotated\n  objects    7, at most 7 in a video\n" in found.summary
    assert [note.split(":")[0] for note in found.notes] == [Note.LEFT_OUT.what]
    found = check(real_data / "youtube-vos-sample", "youtube_vos.YoutubeVos")
    assert not found.problems
    assert [note.split(":")[0] for note in found.notes] == [Note.PALETTE.what, Note.FEW.what]
