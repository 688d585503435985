"""`vosbench draw`: what the pictures show, where cells lie in them, and what is said when there is nothing to show."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vosbench.contract import Context, Entry, Padding, Previous
from vosbench.drawing import drawer, encoding, overlays, sheets
from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.drawing.crop_view import placed
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.inference.visuals import Vectors
from vosbench.methods.copy_first.method import CopyFirst
from vosbench.methods.mamp.method import MAMP
from vosbench.nn.optical_flow import Dis, NoFlow
from vosbench.video.images import read_image, read_label_map, write_label_map
from vosbench.video.palette import PALETTE

Command = Callable[..., Any]
Picture = NDArray[np.uint8]
MAMP_TINY = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]

CODE = """
from dataclasses import dataclass, replace
import torch
import torch.nn.functional as nnf
from vosbench.inference.visuals import Heat, Masks, Vectors
from vosbench.method import Method
from vosbench.contract import Padding

@dataclass(frozen=True)
class Features:
    key: torch.Tensor

@dataclass(frozen=True)
class Memory:
    masks: torch.Tensor

class Open(Method[Features, Memory]):
    supervision, stride, padding, memory_masks = "none", 8, Padding("centre", (0.0, 0.0, 0.0)), "soft"

    def loss(self, clip):
        raise ValueError("nothing to train")

    def encode(self, images):
        return Features(images[..., 4::8, 4::8] - 0.5)

    def keys(self, features):
        return features.key

    def memorize(self, features, masks):
        return Memory(masks)

    def extend(self, value, count):
        return replace(value, masks=nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query, context):
        return context.previous.value.masks

    def intermediate_maps(self, query, context):
        masks = context.previous.value.masks[..., ::8, ::8]
        moved = torch.ones(2, 6, 8) * torch.tensor([2.0, -1.0]).view(2, 1, 1)
        doubt = torch.linspace(0, 1, 6).view(6, 1).expand(6, 8)
        return {"coarse": Masks(masks), "moved": Vectors(moved), "doubt": Heat(doubt, 0, 1)}
"""
YAML = """# @package _global_
defaults:
  - override /memory: previous
  - override /flow: none
method:
  _target_: open_method.Open
optimizer: {}
schedule: {}
callbacks: {}
weights: none
"""


class Drawn(NamedTuple):
    """A sheet before its pictures are made small."""

    rows: Sequence[Sequence[Picture]]
    captions: Sequence[Sequence[str]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """All sheets that are made from now on."""
    found: list[Drawn] = []

    def note(rows: Any, **options: Any) -> Picture:
        found.append(Drawn(rows, options["captions"]))
        return contact_sheet(rows, **options)

    monkeypatch.setattr(sheets, "contact_sheet", note)
    return found


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    """A method of one's own that shows insides of all kinds."""
    (tmp_path / "mine/method").mkdir(parents=True)
    (tmp_path / "mine/open_method.py").write_text(CODE)
    (tmp_path / "mine/method/open.yaml").write_text(YAML)
    return ["--config-dir", str(tmp_path / "mine"), "method=open"]


def on(davis: Path, *overrides: str) -> list[str]:
    return ["draw", "dataset=davis2017", f"dataset.root={davis}", "device=cpu", *overrides]


def files(run: str) -> list[str]:
    root = Path("runs", run)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".yaml" and path.is_file())


def labelled(davis: Path, root: Path, updates: dict[str, int], sources: dict[str, list[str]]) -> None:
    """Pseudo-labels at 1/8: every cell of an update has one number."""
    for epoch, number in updates.items():
        for source, videos in sources.items():
            for video in videos:
                folder = root / epoch / source / video
                folder.mkdir(parents=True)
                (folder.parent / f"{video}.json").touch()
                for frame in sorted((davis / "JPEGImages/480p" / video).iterdir())[:4]:
                    write_label_map(folder / f"{frame.stem}.png", np.full((6, 8), number, np.uint8))


def test_all_that_a_method_shows(
    command: Command, davis: Path, mine: list[str], drawn: list[Drawn], run_name: Callable[..., str]
) -> None:
    done = command(*on(davis, *mine, "rows=2", "clusters=2", "dataset.sequences=[a]"))
    assert (done.status, done.err) == (0, "")
    folder = Path("runs/open/clusters-2+rows-2-" + run_name("draw", "clusters=2", "rows=2")[-8:])
    assert f"pictures: {(folder / 'drawings/davis2017-val').absolute()}" in done.out
    assert files(f"open/{folder.name}") == [
        "drawings/davis2017-val/a/clusters.png",
        "drawings/davis2017-val/a/insides.png",
        "run.log",
    ]
    insides, clusters = drawn
    assert [list(row)[:3] for row in insides.captions] == [
        [f"frame {name}", "truth", "result"] for name in ("00001", "00005")
    ]
    assert insides.captions[1][3:] == ["coarse", "moved: full colour at 17.9 px", "doubt: 0 (blue) to 1 (yellow)"]
    image = read_image(davis / "JPEGImages/480p/a/00005.jpg")
    first, last = (read_label_map(davis / f"Annotations/480p/a/0000{i}.png") for i in (0, 5))
    frame, truth, result, coarse, moved, doubt = insides.rows[1]
    assert np.array_equal(frame, image)
    assert np.array_equal(truth, overlays.overlay(image, last))
    assert np.array_equal(result, overlays.overlay(image, first))
    nearest = np.floor(np.arange(64) / 8 + 0.5).astype(int) * 8
    cells = first[nearest[:48].clip(0, 40)][:, nearest.clip(0, 56)]
    assert np.array_equal(coarse, overlays.overlay(image, cells))
    flow = np.full((48, 64, 2), (16, -8), np.float32)
    assert np.array_equal(moved, overlays.flow_colours(flow, 320**0.5))
    assert np.array_equal(doubt[0, 0], overlays.heat_colours(np.zeros((1, 1)), 0, 1)[0, 0])
    assert np.array_equal(doubt[-1, 0], overlays.heat_colours(np.ones((1, 1)), 0, 1)[0, 0])
    assert (doubt == doubt[:, :1]).all()
    assert all(len(row) == 3 for row in clusters.rows)
    assert "clusters: " in clusters.captions[0][2]
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    assert read_image(next(iter(before))).shape[1] > 3 * sheets.CELL - 50
    assert command(*on(davis, *mine, "rows=2", "clusters=2", "dataset.sequences=[a]")).status == 0
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


def test_clusters_are_those_of_the_keys(command: Command, tmp_path: Path, mine: list[str], drawn: list[Drawn]) -> None:
    """A red square of 3×3 cells that moves over blue: two clusters, the larger of them dropped."""
    from PIL import Image

    for index in range(4):
        image = np.full((48, 64, 3), (0, 0, 255), np.uint8)
        image[8:32, 8 * index : 8 * index + 24] = (255, 0, 0)
        (tmp_path / "video").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"video/{index}.png")
    settings = ["clusters=2", "alpha=0", "rows=3", f"input={tmp_path / 'video'}", "device=cpu"]
    done = command("draw", *mine, *settings)
    assert done.status == 0, done.err
    assert "video: no insides, since there is no mask to follow" in done.out
    (sheet,) = drawn
    assert [list(row) for row in sheet.captions] == [
        [f"frame {index}", "1 clusters: 19 %; 81 % dropped"] for index in (1, 2, 3)
    ]
    for index, (image, picture) in zip((1, 2, 3), sheet.rows, strict=True):
        labels = np.zeros((48, 64), np.uint8)
        # This method's keys lie on pixels 4, 12, …, which is half a cell after where cells are drawn.
        labels[4:28, max(0, 8 * index - 4) : 8 * index + 20] = 1
        assert np.array_equal(picture, overlays.overlay(image, labels))


@pytest.mark.parametrize("side", ["right-bottom", "centre"])
@pytest.mark.parametrize(("short_side", "subsample"), [(None, 1), (None, 2), (120, 1), (40, 1)])
def test_cells_lie_where_they_are_centred(side: Any, short_side: int | None, subsample: int) -> None:
    """Pixels of a picture of coordinates, taken by stride, come back to within half a cell, on average not shifted."""
    rows, columns = np.mgrid[:83, :131].astype(np.uint8)
    image = np.stack([rows, columns, np.full_like(rows, 255)], 2)
    method = CopyFirst()
    method.stride, method.padding = 8, Padding(side, (-1.0, -1.0, -1.0))
    propagator = Propagator(method, FrameMemory(), ShortSide(short_side, subsample))
    frame = propagator.frame(image)
    sampled = 255 * frame.pixels[0, :, ::8, ::8].permute(1, 2, 0).numpy()
    found = placed(sampled, frame)
    cell = 8 * subsample * 83 / (short_side or 83)
    edge = int(cell)  # there, the nearest cell may lie in the padding, or further away
    inner = (slice(edge, -edge), slice(edge, -edge))
    assert (found[inner][..., 2] > 250).all()
    apart = (found[..., :2] - image[..., :2].astype(np.float32))[inner].reshape(-1, 2)
    assert np.abs(apart).max() <= cell / 2 + 1.5
    assert np.abs(apart.mean(0)).max() < 0.6 + (subsample - 1) / 2
    assert frame.cell_size((sampled.shape[0], sampled.shape[1])) == pytest.approx((cell, cell), rel=0.02)


def test_mamp_shows_the_flow_that_it_follows() -> None:
    method = MAMP(Dis(), widths=(8, 8, 8, 8), channels=8).eval()
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 12, 16, generator=generator)
    picture = torch.nn.functional.interpolate(coarse, (96, 128), mode="bilinear")
    query, near, far = (method.encode(picture.roll(shift, 3)) for shift in (8, 4, 0))
    masks = torch.zeros(1, 2, 96, 128)
    entries = tuple(Entry(i, i == 0, method.memorize(features, masks)) for i, features in ((0, far), (4, near)))
    context = Context(5, Previous(4, near, entries[1].value), entries)
    with torch.inference_mode():
        shown = method.intermediate_maps(query, context)
        assert list(shown) == ["flow to t−5", "flow to t−1"]
        for inside, shift in zip(shown.values(), (2, 1), strict=True):
            assert isinstance(inside, Vectors)
            assert inside.vectors.shape == (2, 24, 32)
            assert inside.vectors[0].median().item() == pytest.approx(-shift, abs=0.2)
        assert MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8, matching="none").intermediate_maps(query, context) == {}


def test_late_objects_keep_their_colours_and_results_are_those_of_predict(
    command: Command, davis: Path, drawn: list[Drawn]
) -> None:
    settings = [*MAMP_TINY, "dataset.sequences=[b]", "dataset.late_objects=true"]
    assert command(*on(davis, *settings, "kinds=[insides]")).status == 0
    assert command("predict", *on(davis, *settings)[1:], "output=out").status == 0
    (sheet,) = drawn
    for index, row in zip(range(1, 5), sheet.rows, strict=True):
        labels = read_label_map(Path(f"out/b/0000{index}.png"))
        assert np.array_equal(row[2], overlays.overlay(row[0], labels))
    assert [sum(caption.startswith("flow to t−") for caption in row) for row in sheet.captions] == [1, 2, 2, 4]
    assert (sheet.rows[0][-1] == 255).all(), "what a row lacks is left white"
    assert all((picture == PALETTE[6:9]).all(-1).any() for picture in sheet.rows[1][1:3]), "2 has its contour"


def test_a_video_without_masks_and_longer_than_is_clustered(
    command: Command,
    davis: Path,
    tmp_path: Path,
    drawn: list[Drawn],
    monkeypatch: pytest.MonkeyPatch,
    run_name: Callable[..., str],
) -> None:
    frames = [read_image(path) for path in sorted((davis / "JPEGImages/480p/a").iterdir())]
    encoding.write_video(tmp_path / "mine.mp4", iter(frames))
    monkeypatch.setattr(drawer, "MOST", 4)
    encoded: list[torch.Tensor] = []
    encode = MAMP.encode

    def note(self: MAMP, images: torch.Tensor) -> Any:
        encoded.append(images)
        return encode(self, images)

    monkeypatch.setattr(MAMP, "encode", note)
    done = command("draw", *MAMP_TINY, f"input={tmp_path / 'mine.mp4'}", "device=cpu", "precision=bf16-mixed")
    assert done.status == 0, done.err
    assert "mine: no insides, since there is no mask to follow" in done.out
    run = "mamp_small/" + run_name("draw", *MAMP_TINY, "precision=bf16-mixed")
    assert files(run) == ["drawings/mine/clusters.png", "run.log"]
    assert [row[0] for row in drawn[0].captions] == [f"frame {name}" for name in ("00002", "00003", "00005")]
    assert drawn[0].captions[0][1].endswith("; 4 of 6 frames")
    assert len(encoded) == 4
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("00000.png", "00005.png"):
        (masks / name).write_bytes((davis / "Annotations/480p/a" / name).read_bytes())
    own = [f"input={tmp_path / 'mine.mp4'}", f"mask={masks}", "kinds=[insides]", "device=cpu"]
    assert command("draw", *MAMP_TINY, *own).status == 0
    assert [row[1] for row in drawn[1].captions] == ["", "", "truth"], "where it is known"
    assert [row[2] for row in drawn[1].captions] == ["result"] * 3
    assert len(encoded) == 4 + 6


def test_pseudo_labels_of_the_first_and_the_last_whole_update(
    command: Command, davis: Path, tmp_path: Path, drawn: list[Drawn], run_name: Callable[..., str]
) -> None:
    run = tmp_path / "trained"
    sources = {"photographs": ["c"], "videos": ["a", "c"]}
    labelled(davis, run / "labels", {"0": 1, "10": 2, "100": 3, "110": 4}, sources)
    for whole in ("0", "10", "100"):
        (run / "labels" / whole / "DONE").touch()
    only = ["kinds=[pseudo_labels]", "method=copy_first", "rows=2"]
    for labels in (run, run / "labels"):
        done = command(*on(davis, *only, f"labels={labels}", "dataset.sequences=[a,c]"))
        assert (done.status, done.err) == (0, "")
    assert [path for path in files("copy_first/" + run_name("draw", "rows=2")) if path.endswith("png")] == [
        f"drawings/davis2017-val/{video}/pseudo_labels.png" for video in ("a", "c")
    ]
    a, c = drawn[:2]
    assert a.captions[0] == ["frame 00001", "truth", "made at epoch 0 (videos)", "made at epoch 100 (videos)"]
    assert a.captions[1][0] == "frame 00003", "the last that has labels"
    assert c.captions[0][2:] == ["made at epoch 0 (photographs)", "made at epoch 100 (photographs)"]
    for row in a.rows:
        for picture, number in zip(row[2:], (1, 3), strict=True):
            assert np.array_equal(picture, overlays.overlay(row[0], np.full((48, 64), number, np.uint8)))
    for each in ("10", "100"):
        (run / "labels" / each / "DONE").unlink()
    assert command(*on(davis, *only, f"labels={run}", "dataset.sequences=[a]")).status == 0
    assert drawn[-1].captions[0][2:] == ["made at epoch 0 (videos)"]


def test_what_is_said_when_there_are_no_pseudo_labels(command: Command, davis: Path, tmp_path: Path) -> None:
    run = tmp_path / "trained"
    only = on(davis, "kinds=[pseudo_labels]", "method=copy_first")
    command(*only).error(1, "kinds=[pseudo_labels] needs labels=<run folder")
    labelled(davis, run / "labels", {"0": 1}, {"videos": ["a", "c"]})
    command(*only, f"labels={run}").error(1, f"labels={run}", "no whole update", "DONE")
    (run / "labels/0/DONE").touch()
    command(*only, f"labels={run}").error(
        1, str(run / "labels/0"), "no pseudo-labels of b;", "dataset.sequences", "a, c"
    )
    for path in (run / "labels/0/videos/c").iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    command(*only, f"labels={run}", "dataset.sequences=[c]").error(1, "videos/c", "no frame names in common")
    assert not list(Path("runs").rglob("*.png"))


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["method=copy_first"], ["video a", "CopyFirst has none to show", "CopyFirst compares no keys"]),
        ([*MAMP_TINY, "mask=first.png"], ["mask=first.png", "input="]),
        ([*MAMP_TINY, "clusters=255"], ["clusters=255", "254"]),
        ([*MAMP_TINY, "input=absent.mp4"], ["absent.mp4"]),
    ],
)
def test_what_cannot_be_drawn(command: Command, davis: Path, overrides: list[str], parts: list[str]) -> None:
    command(*on(davis, *overrides)).error(1, *parts)
    assert not list(Path("runs").rglob("*.png"))


def test_a_kind_that_was_asked_for_is_drawn_or_an_error(command: Command, davis: Path) -> None:
    for kind, reason in (("insides", "no mask to follow"), ("clusters", "compares no keys")):
        method = ["method=copy_first"] if kind == "clusters" else MAMP_TINY
        own = [f"input={davis / 'JPEGImages/480p/a'}", f"kinds=[{kind}]", "device=cpu"]
        command("draw", *method, *own).error(1, "video a", f"no {kind}, since", reason)
    command(*on(davis, "kinds=[flow]")).error(2, "kinds[0]=flow", "clusters or insides or matches or pseudo_labels")


def test_a_part_of_a_video(command: Command, davis: Path, mine: list[str], drawn: list[Drawn]) -> None:
    own = ["draw", *mine, "device=cpu", "kinds=[clusters]", f"input={davis / 'JPEGImages/480p/a'}"]
    done = command(*own, "frames=2:5", "rows=2", "clusters=2")
    assert (done.status, done.err) == (0, "")
    (sheet,) = drawn
    assert [row[0] for row in sheet.captions] == ["frame 00003", "frame 00004"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["input=clip.mp4", "frames=5"], ["frames=5 is now rows=5"]),
        (["frames=2:5"], ["for a data set, set dataset.max_frames"]),
        (["mask=first.png"], ["give input="]),
        (["input=clip.mp4", "dataset.max_frames=6"], ["dataset.max_frames=6", "leave one of them out"]),
    ],
)
def test_keys_that_do_not_go_together(command: Command, words: list[str], said: list[str]) -> None:
    command("draw", *words).error(1, *said)


def test_the_run_is_named_by_what_changes_pictures(run_name: Callable[..., str]) -> None:
    assert run_name("draw", "labels=runs/other", "kinds=[clusters]", "input=x.mp4") == "default"
    assert run_name("draw", "clusters=3") != run_name("draw", "clusters=5")


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(24, 5, [0, 6, 12, 17, 23]), (3, 5, [0, 1, 2]), (9, 1, [8]), (1, 4, [0])]
)
def test_frames_are_spread_evenly_up_to_the_last(count: int, most: int, expected: list[int]) -> None:
    assert sheets.evenly(range(count), most) == expected
    assert 0 not in sheets.chosen(range(count), most) or count == 1


def test_captions_stand_above_their_pictures() -> None:
    black = np.zeros((60, 180, 3), np.uint8)
    plain = contact_sheet([[black, black]] * 2, width=400)
    sheet = contact_sheet([[black, black]] * 2, width=400, captions=[["one", ""], ["", "four"]])
    above = (sheet.shape[0] - plain.shape[0]) // 2
    assert above > 10
    for rows in (slice(2, 2 + above), slice(sheet.shape[0] // 2 + 2, sheet.shape[0] // 2 + above)):
        written = [bool((sheet[rows, side] < 100).any()) for side in (slice(0, 199), slice(202, 400))]
        assert written == ([True, False] if rows.start == 2 else [False, True])
    with pytest.raises(ValueError, match="as many captions"):
        contact_sheet([[black, black]], captions=[["one"]])


def test_heat_goes_from_dark_to_bright_between_its_ends() -> None:
    values = np.array([[-1, 0, 1, 2, 3, np.nan]])
    below, low, middle, high, above, unknown = overlays.heat_colours(values, 0, 2)[0].astype(int)
    assert below.tolist() == low.tolist()
    assert above.tolist() == high.tolist()
    assert low.sum() < middle.sum() < high.sum()
    assert unknown.tolist() == [150, 150, 150]
