"""First masks from boxes and points."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.drawn_masks import Drawn, refined
from vosbench.drawing.encoding import write_video
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map

Command = Callable[..., Any]
SIZE = (120, 160)


def picture() -> np.ndarray:
    """A red disk and a blue square on green noise."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 40, (*SIZE, 3), dtype=np.uint8) + np.array([10, 120, 10], np.uint8)
    image[disk()] = generator.integers(0, 30, (disk().sum(), 3)) + np.array([200, 20, 20])
    image[square()] = generator.integers(0, 30, (square().sum(), 3)) + np.array([20, 20, 200])
    return image.astype(np.uint8)


def disk() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.asarray((y - 60) ** 2 + (x - 45) ** 2 < 25**2)


def square() -> np.ndarray:
    found = np.zeros(SIZE, bool)
    found[30:70, 100:140] = True
    return found


@pytest.mark.parametrize(
    "text", ["box:15,30,75,90;95,25,145,75", "points:45,60;120,50", "points: 45,60, 50,50 ;120,50"]
)
def test_objects_are_found(text: str) -> None:
    drawn = Drawn.parse(text)
    assert drawn is not None
    labels = drawn.mask(picture())
    for id_, object_ in ((1, disk()), (2, square())):
        assert (object_ & (labels == id_)).sum() / (object_ | (labels == id_)).sum() > 0.9
    np.testing.assert_array_equal(labels, drawn.mask(picture()))


@pytest.mark.parametrize("text", ["first.png", "box", "masks/box:1.png", "boxes:1,2,3,4"])
def test_what_is_a_file(text: str) -> None:
    assert Drawn.parse(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("box:1,2,3", "mask=box:1,2,3 cannot be understood: give mask=box:<left>,<top>,<right>,<bottom> or"),
        ("points:1,2,3", "cannot be understood"),
        ("points:", "cannot be understood"),
        ("box:a,b,c,d", "cannot be understood"),
        ("box:10,10,200,50", "box 10,10,200,50 is not in the frame: give x up to 160 and y up to 120"),
        ("points:160,5", "points 160,5 is not in the frame: give x up to 159 and y up to 119"),
        ("box:50,50,40,60", "box 50,50,40,60 is no box: give left,top,right,bottom"),
        ("box:0,0,160,120", "the box leaves no background"),
    ],
)
def test_what_cannot_be_drawn(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Drawn.parse(text).mask(picture())  # type: ignore[union-attr]


def test_where_there_is_no_object() -> None:
    drawn = Drawn.parse("box:10,10,60,60")
    assert drawn is not None
    with pytest.raises(UserError, match="no object is found for box 10,10,60,60"):
        drawn.mask(np.full((*SIZE, 3), 90, np.uint8))


def test_a_prediction_from_points(command: Command, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", iter([picture()] * 3), fps=10)
    words = ["predict", "method=copy_first", "device=cpu", "output=out", f"input={tmp_path / 'clip.mp4'}"]
    done = command(*words, "mask=points:45,60;120,50")
    assert (done.status, done.err) == (0, "")
    assert "first mask: out/clip-first-mask.png" in done.out
    mask = read_label_map(Path("out/clip-first-mask.png"))
    assert set(np.unique(mask)) == {0, 1, 2}
    with Image.open("out/clip-first-mask.png") as file:
        assert file.mode == "P"
    np.testing.assert_array_equal(read_label_map(Path("out/clip/00002.png")), mask)
    assert "1 of 1 videos are done already" in command(*words, "mask=points:45,60;120,50").out
    assert "plan=true writes nothing" in command(*words, "mask=points:45,60", "plan=true").err


def test_the_mask_of_a_prediction_is_kept_with_it(command: Command, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", iter([picture()] * 2), fps=10)
    words = ["predict", "method=copy_first", "device=cpu", f"input={tmp_path / 'clip.mp4'}"]
    command(*words, "mask=points:45,60", "output=out")
    mask = read_label_map(Path("out/clip-first-mask.png"))
    again = command(*words, "mask=points:45,60;120,50", "output=out")
    again.error(
        1, "out/clip was made with another mask, out/clip-first-mask.png", "output=<new folder>", "overwrite=true"
    )
    np.testing.assert_array_equal(read_label_map(Path("out/clip-first-mask.png")), mask)
    unreadable = command(*words, "mask=box:20,20,60,60", "overwrite=true", "checkpoint=clip.mp4")
    unreadable.error(1, "clip.mp4")
    np.testing.assert_array_equal(read_label_map(Path("out/clip-first-mask.png")), mask)
    assert command(*words, "mask=points:45,60;120,50", "output=new").status == 0
    assert command(*words, "mask=points:45,60;120,50", "output=out", "overwrite=true").status == 0
    new, redone = (read_label_map(Path(root, "clip/00001.png")) for root in ("new", "out"))
    np.testing.assert_array_equal(new, redone)


def rough() -> np.ndarray:
    """Clues of the disk: its left half, with a dab on the right half; the square is another object's."""
    clues = np.zeros(SIZE, np.uint8)
    clues[disk() & (np.arange(SIZE[1]) < 50)] = 1
    clues[55:65, 58:62] = 3
    clues[square()] = 4
    return clues


def test_what_was_painted_is_refined() -> None:
    """Up to 12 pixels from the dab: so the disk's right end is found, and nothing changes elsewhere."""
    clues = rough()
    found = refined(picture(), clues)
    near = cv2.distanceTransform((clues != 3).astype(np.uint8), cv2.DIST_L2, 5) <= 12
    assert (found & near)[disk() & near].mean() > 0.95
    assert not (found & near)[~disk() & near].any()
    np.testing.assert_array_equal(found[~near], clues[~near] == 1)


def test_what_was_erased_is_refined() -> None:
    """A mask that is too wide ends at the disk's edge, near to the dab."""
    clues = np.zeros(SIZE, np.uint8)
    clues[35:85, 20:90] = 1
    clues[50:70, 76:84] = 2
    found = refined(picture(), clues)
    assert not found[50:70, 72:90].any()
    assert found[55:65, 40:68].all()


def test_refining_keeps_to_what_is_certain() -> None:
    clues = rough()
    clues[55:65, 66:90], clues[58:62, 40:44] = 3, 2  # against the colours
    clues[square()] = 0
    clues[45:60, 75:85] = 4
    found = refined(picture(), clues)
    assert found[clues == 3].all()
    assert not found[(clues == 2) | (clues == 4)].any()
    np.testing.assert_array_equal(found, refined(picture(), clues))
