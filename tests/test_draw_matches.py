"""What `vosbench draw pixel=[x,y]` shows: that it is what methods read, and that it lies where it belongs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vosbench.contract import Context, Entry, Padding, Previous
from vosbench.drawing import overlays, sheets
from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.drawing.crop_view import Canvas
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.inference.visuals import Heat, Matches, cell_at
from vosbench.methods.copy_first.method import CopyFirst
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import Dis, NoFlow
from vosbench.ops.affinity import local_affinity, local_matches, local_readout, window_on_grid
from vosbench.ops.align import gather_positions

Command = Callable[..., Any]
Picture = NDArray[np.uint8]
TINY = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "device=cpu"]
CELLS = [(0, 0), (6, 11), (12, 20), (8, 7)]


def maps(count: int, channels: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, channels, 13, 21, generator=generator) for _ in range(count)]


def pictures(*shifts: int) -> list[Tensor]:
    """A smooth texture that moves to the right."""
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(coarse, (96, 128), mode="bilinear")
    return [whole.roll(shift, 3) for shift in shifts]


def ends(values: Tensor) -> tuple[int, int]:
    return int(values.min()), int(values.max())


@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize("top_k", [None, 1, 7])
@pytest.mark.parametrize("moved", [False, True])
def test_matches_are_what_is_read(mask_oob: bool, top_k: int | None, moved: bool) -> None:
    query, *keys = maps(3, 5)
    values = maps(2, 2, seed=1)
    flows = [4 * flow[0] for flow in maps(2, 2, seed=2)]
    options: dict[str, Any] = {"radius": 3, "scale": 0.5, "top_k": top_k, "mask_oob": mask_oob}
    options["positions"] = [gather_positions(flow) for flow in flows] if moved else None
    read = local_readout(query, keys, values, **options)
    for row, column in CELLS:
        found = local_matches(query, keys, (row, column), **options)
        total = torch.stack(
            [(value[0] * weights).sum((1, 2)) for value, (_, weights) in zip(values, found, strict=True)]
        )
        torch.testing.assert_close(total.sum(0), read[0, :, row, column])
        assert all((weights[~window] == 0).all() for window, weights in found)
        chosen = sum(int((weights > 0).sum()) for _, weights in found)
        assert chosen <= (top_k or 2 * 49)
        if mask_oob and not moved:
            assert sum(float(weights.sum()) for _, weights in found) == pytest.approx(1, abs=1e-5)


def test_the_window_is_around_the_cell_or_goes_with_the_flow() -> None:
    query, key = maps(2, 5)
    ((window, _),) = local_matches(query, [key], (6, 11), radius=3, scale=1.0)
    expected = torch.zeros(13, 21, dtype=torch.bool)
    expected[3:10, 8:15] = True
    assert torch.equal(window, expected)
    flow = torch.tensor([4.0, -2.0]).view(2, 1, 1).expand(2, 13, 21)
    ((moved, _),) = local_matches(query, [key], (6, 11), radius=3, scale=1.0, positions=[gather_positions(flow)])
    assert torch.equal(moved, expected.roll((-2, 4), (0, 1)))


def test_a_slice_lies_where_its_cells_are() -> None:
    query, key = maps(2, 5)
    costs = local_affinity(query, key, radius=3)
    for row, column in CELLS:
        placed = window_on_grid(costs[0, :, row, column], (row, column), (13, 21))
        known = placed.isfinite()
        everywhere = torch.einsum("c,chw->hw", query[0, :, row, column], key[0])
        torch.testing.assert_close(placed[known], everywhere[known])
        ys, xs = known.nonzero().unbind(1)
        assert ends(ys) == (max(0, row - 3), min(12, row + 3))
        assert ends(xs) == (max(0, column - 3), min(20, column + 3))


@pytest.mark.parametrize(("pixel", "cell"), [((0, 0), (0, 0)), ((5, 6), (2, 1)), ((9, 10), (3, 2)), ((31, 15), (3, 7))])
def test_a_pixel_belongs_to_the_nearest_cell(pixel: tuple[int, int], cell: tuple[int, int]) -> None:
    assert cell_at(pixel, 4, (4, 8)) == cell


@pytest.mark.parametrize("matching", ["flow", "none"])
def test_mamp_shows_the_matches_that_it_reads(matching: Any) -> None:
    method = MAMP(
        Dis() if matching == "flow" else NoFlow(), (8, 8, 8, 8), 8, radius=4, top_k=9, matching=matching
    ).eval()
    far, near, query = (method.encode(picture) for picture in pictures(0, 4, 8))
    masks = torch.rand(2, 1, 2, 96, 128, generator=torch.Generator().manual_seed(1))
    values = [method.memorize(features, mask) for features, mask in zip((far, near), masks, strict=True)]
    entries = (Entry(0, True, values[0]), Entry(4, False, values[1]))
    context = Context(5, Previous(4, near, values[1]), entries)
    with torch.inference_mode():
        scores = method.segment(query, context)[0, :, ::4, ::4]
        rows = method.matches(query, context, (65, 42))
    first = [each for each in rows[0].values() if isinstance(each, Matches)]
    total = sum((value.masks[0] * each.weights).sum((1, 2)) for value, each in zip(values, first, strict=True))
    torch.testing.assert_close(total, scores[:, 11, 16])
    assert [each.back for each in first] == [5, 1]
    names = [list(row) for row in rows]
    if matching == "none":
        assert names == [["t−5", "t−1"]]
        return
    assert names == [[f"t−{gap}, window {how}" for gap in (5, 1)] for how in ("moved by flow", "not moved")]
    middles = [[each.window.nonzero().float().mean(0)[1].item() for each in row.values()] for row in rows]  # type: ignore[union-attr]
    assert middles[1] == [16, 16]
    assert middles[0] == pytest.approx([16 - 8 / 4, 16 - 4 / 4], abs=0.3), "8 and 4 pixels to the left"


def test_mamp_shows_no_windows_that_lie_between_cells() -> None:
    method = MAMP(NoFlow(), (8, 8, 8, 8), 8, matching="mast", radius=2).eval()
    (features,) = (method.encode(picture) for picture in pictures(0))
    value = method.memorize(features, torch.zeros(1, 2, 96, 128))
    for index, count in ((15, 1), (16, 0)):
        context = Context(index, Previous(index - 1, features, value), (Entry(0, True, value),))
        with torch.inference_mode():
            assert len(method.matches(features, context, (3, 4))) == count


@pytest.mark.parametrize("outside", ["zero", "never"])
def test_munet_shows_the_costs_that_its_motion_comes_from(outside: Any) -> None:
    motion = partial(MotionUncertaintyLayer, radius=2, temperature=0.5, outside=outside)
    method = MUNet(18, 8, channels=(8, 8), decoder_width=8, motion=motion).eval()
    with torch.inference_mode():
        before, query = (method.encode(picture) for picture in pictures(0, 16))
        value = method.memorize(before, torch.zeros(1, 2, 96, 128))
        context = Context(1, Previous(0, before, value), (Entry(0, True, value),))
        insides = method.intermediate_maps(query, context)
        (found,) = method.matches(query, context, (66, 50))
        edge = method.matches(query, context, (0, 0))[0]["matches in t−1"]
    matches, costs = found.values()
    assert isinstance(matches, Matches)
    assert isinstance(costs, Heat)
    assert (matches.back, costs.back) == (1, 1)
    ys, xs = matches.window.nonzero().unbind(1)
    assert (ends(ys), ends(xs)) == ((1, 5), (2, 6)), "around (3, 4)"
    across = (matches.weights.sum(0) * (torch.arange(8) - 4)).sum()
    torch.testing.assert_close(across, insides["displacement"].vectors[0, 3, 4])  # type: ignore[union-attr]
    assert costs.high == pytest.approx(insides["uncertainty"].values[3, 4].item())  # type: ignore[union-attr]
    assert torch.equal(costs.values.isfinite(), matches.window)
    assert insides["uncertainty"].back == 0, "over the query"  # type: ignore[union-attr]
    assert isinstance(edge, Matches)
    assert (edge.weights.sum().item() == pytest.approx(1)) == (outside == "never"), "cells outside take part or not"
    assert MUNet(18, 8, channels=(8, 8), decoder_width=8).matches(query, context, (0, 0)) == []


def canvas(subsample: int = 1, short_side: int | None = None) -> Canvas:
    """Of pictures of their own coordinates, 83×131, at stride 8."""
    rows, columns = np.mgrid[:83, :131].astype(np.uint8)
    image = np.stack([rows, columns, np.full_like(rows, 255)], 2)
    method = CopyFirst()
    method.stride, method.padding = 8, Padding("centre", (-1.0, -1.0, -1.0))
    frame = Propagator(method, FrameMemory(), ShortSide(short_side, subsample)).frame(image)
    return Canvas.whole(frame, lambda back: np.roll(image, -5 * back, 1))


def test_a_whole_canvas_is_the_pictures_as_they_are() -> None:
    whole = canvas()
    assert whole.picture().shape == (83, 131, 3)
    assert (whole.picture(2)[0, :100, 1] == np.arange(10, 110)).all()
    assert whole.point(17, 40) == (17, 40)


@pytest.mark.parametrize(("subsample", "short_side"), [(1, None), (2, None), (1, 160)])
def test_a_part_shows_cells_and_pixel_where_they_are(subsample: int, short_side: int | None) -> None:
    whole = canvas(subsample, short_side)
    grid = (whole.frame.pixels.shape[2] // 8, whole.frame.pixels.shape[3] // 8)
    cells = np.zeros(grid, bool)
    cells[grid[0] // 2, grid[1] // 2] = True
    part = whole.around([cells], (40, 30), 400)
    width, height = part.part[2:]
    assert width < 131
    assert part.size == (round(400 * height / width), 400)
    assert abs(width / height - 131 / 83) < 0.05
    for place in ((40, 30), (70, 45)):
        x, y = part.point(*place)
        shown = part.picture()[round(y), round(x)]
        assert np.abs(shown[:2].astype(int) - place[::-1]).max() <= 1
    middle = part.centre(grid[0] // 2, grid[1] // 2, grid)
    assert middle is not None
    ys, xs = np.nonzero(part.place(cells))
    assert (xs.mean(), ys.mean()) == pytest.approx(middle, abs=2)
    assert part.place(cells)[[0, -1]].sum() + part.place(cells)[:, [0, -1]].sum() == 0, "there is a margin"
    seen = whole.seen((40, 30))
    sample = 255 * whole.frame.pixels[0, :2, seen[1], seen[0]].numpy()
    assert np.abs(sample - (30, 40)).max() <= 1.5


def test_parts_stay_inside_of_pictures_and_keep_their_shape() -> None:
    for pixel in ((0, 0), (130, 82), (130, 0), (60, 40)):
        left, top, width, height = canvas().around([], pixel, 400).part
        assert 0 <= left <= pixel[0] < left + width <= 131
        assert 0 <= top <= pixel[1] < top + height <= 83
        assert (width, height) == (13, 8), "no smaller"
    everywhere = np.ones((11, 17), bool)
    assert canvas().around([everywhere], (0, 0), 131).part == (0, 0, 131, 83)


def test_a_line_goes_around_and_dots_and_crosshair_are_where_they_should_be() -> None:
    black, where = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), bool)
    where[20:40, 0:30] = True
    where[25:30, 10:15] = False
    line = (overlays.outlined(black, where) == overlays.LINE).all(-1)
    assert line[19, 10]
    assert line[40, 10]
    assert line[30, 30]
    assert line[19, 30]
    assert not line[20:40, :30].any(), "not over what is inside, nor around holes"
    assert line.sum() == 30 + 30 + 20 + 2
    dots = overlays.dotted(black, [(20.0, 30.0), (50.0, 10.0)], [3.0, 8.0])
    yellow = (dots == overlays.DOT).all(-1)
    assert yellow[30, 20]
    assert yellow[10, 50]
    assert yellow[10, 56]
    assert not yellow[30, 26]
    assert (dots[10, 62] == 0).all()
    marked = overlays.crosshair(black, (40.2, 29.8)).min(2) > 200
    assert marked[30, [30, 35, 45, 50]].all()
    assert marked[[20, 25, 35, 40], 40].all()
    assert not marked[28:33, 38:43].any(), "the place itself stays free"


def test_heat_over_a_picture_leaves_bare_what_has_no_number() -> None:
    image = np.full((60, 80, 3), (200, 100, 0), np.uint8)
    values = np.full((60, 80), np.nan)
    values[20:40, 20:50] = 1
    values[20:40, 20:30] = 0
    mixed = overlays.heat_overlay(image, values, 0, 1, opacity=0.75)
    assert (mixed[:18] == image[:18]).all()
    low, high = (overlays.heat_colours(np.array([[value]]), 0, 1)[0, 0].astype(float) for value in (0.0, 1.0))
    assert np.abs(mixed[30, 25] - (25 + 0.75 * low)).max() <= 1
    assert np.abs(mixed[30, 45] - (25 + 0.75 * high)).max() <= 1
    assert (mixed[19, 30] == overlays.LINE).all()
    assert not (overlays.heat_overlay(image, np.zeros((60, 80)), 0, 1) == overlays.LINE).all(-1).any()


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[list[list[str]]]:
    """Of all sheets that are made from now on."""
    found: list[list[list[str]]] = []

    def note(rows: Sequence[Sequence[Picture]], **options: Any) -> Picture:
        found.append([list(row) for row in options["captions"]])
        return contact_sheet(rows, **options)

    monkeypatch.setattr(sheets, "contact_sheet", note)
    return found


def test_matches_of_a_pixel_are_drawn(
    command: Command, davis: Path, captions: list[list[list[str]]], run_name: Callable[..., str]
) -> None:
    data = ["dataset=davis2017", f"dataset.root={davis}", "dataset.sequences=[a]"]
    done = command("draw", *TINY, *data, "rows=2", "pixel=[20,12]")
    assert (done.status, done.err) == (0, "")
    run = Path("runs/mamp_small", run_name("draw", *TINY, "rows=2", "pixel=[20,12]"))
    made = sorted(path.name for path in run.rglob("*.png"))
    assert made == ["clusters.png", "insides.png", "matches.png"]
    matches = captions[1]
    assert [row[0] for row in matches] == [f"frame 0000{i}, pixel [20, 12]" for i in (1, 1, 5, 5)]
    assert [caption.split(":")[0] for caption in matches[2][1:]] == [
        f"t−{gap}, window moved by flow" for gap in (5, 3, 1)
    ]
    assert matches[0][2:] == [""] * 2, "what a row lacks is left white"
    assert matches[1][1].startswith("t−1, window not moved: ")
    assert matches[1][1].endswith(" % of the weight")
    captions.clear()
    assert command("draw", *TINY, *data, "rows=2", "pixel=[20,12]", "kinds=[matches]").status == 0
    assert captions == [matches]


def test_dots_lie_on_their_cells_in_past_frames() -> None:
    whole = canvas()
    weights = torch.zeros(11, 17)
    weights[4, 9] = 1.0
    window = torch.zeros(11, 17, dtype=torch.bool)
    window[3:6, 7:12] = True
    (row,) = sheets.match_rows("query", [{"there": Matches(2, window, weights)}], whole, (60, 30), [])
    (title, query), (caption, picture) = row
    assert (title, caption) == ("query", "there: 100 % of the weight")
    part = whole.around([window.numpy()], (60, 30), 2 * sheets.CELL)
    place = part.centre(4, 9, (11, 17))
    assert place is not None
    x, y = round(place[0]), round(place[1])
    assert tuple(picture[y, x]) == overlays.DOT
    assert not (query == overlays.DOT).all(-1).any()
    assert (picture == overlays.LINE).all(-1).any()
    corner = picture[5, 5].astype(int)
    assert np.abs(corner - part.picture(2)[5, 5]).max() == 0, "the picture of that frame"
    assert not np.array_equal(part.picture(2)[5, 5], part.picture(0)[5, 5])


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["pixel=[64,12]"], ["pixel=[64, 12]", "video a", "64 wide and 48 high", "up to 63", "up to 47"]),
        (["pixel=[3]"], ["pixel=[3]", "give pixel=[x,y]"]),
        (["pixel=[-1,3]"], ["pixel=[-1, 3]", "video a"]),
        (["kinds=[matches]"], ["kinds=[matches]", "pixel=[x,y]"]),
        (["kinds=[matches]", "pixel=[3,3]", "method=copy_first"], ["video a", "no matches, since CopyFirst has none"]),
        (
            ["kinds=[matches]", "pixel=[3,3]", "method=munet_narrow", "method.motion=null", "checkpoint=none"],
            ["no matches, since MUNet searches for none"],
        ),
    ],
)
def test_what_is_said_of_pixels_that_cannot_be_drawn(
    command: Command, davis: Path, overrides: list[str], parts: list[str]
) -> None:
    method = [] if any(key.startswith("method=") for key in overrides) else TINY
    data = ["dataset=davis2017", f"dataset.root={davis}", "device=cpu", "dataset.max_frames=2"]
    command("draw", *method, *data, *overrides).error(1, *parts)
    assert not list(Path("runs").rglob("*.png"))
