"""RGB masks whose colours are told to mean objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.colour_masks import labels_of_colours, write_label_maps_of_colours
from vosbench.drawing.encoding import write_video
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map

Command = Callable[..., Any]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Red on the left, green on the right, black between."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :8], image[:, 20:] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(image).save(tmp_path / "first.png")
    return tmp_path / "first.png"


def test_colours_are_ids_in_the_order_told(mask: Path) -> None:
    labels = labels_of_colours(mask, "255,0,0;0,255,0;0,0,255")
    assert (labels[0, 0], labels[0, 12], labels[0, 30]) == (1, 0, 2)
    labels = labels_of_colours(mask, "auto")
    assert (labels[0, 0], labels[0, 12], labels[0, 30]) == (2, 0, 1)


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        ("255,0,0", "first.png also has the colours 0,255,0: set 'colours=255,0,0;0,255,0'"),
        ("red", "colours=red: give auto, or the colours of objects 1, 2, … such as 255,0,0;0,255,0"),
        ("255,0", "colours=255,0: give auto"),
    ],
)
def test_colours_that_do_not_fit(mask: Path, colours: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labels_of_colours(mask, colours)


def test_shades_are_no_colours(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "first.png")
    with pytest.raises(UserError, match="has 768 colours, shades of the objects' edges perhaps"):
        labels_of_colours(tmp_path / "first.png", "auto")


def test_a_prediction(command: Command, mask: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", iter([np.zeros((24, 32, 3), np.uint8)] * 2), fps=10)
    words = [
        "predict",
        "method=copy_first",
        "device=cpu",
        "output=out",
        f"input={tmp_path / 'clip.mp4'}",
        f"mask={mask}",
    ]
    assert "has mode RGB" in command(*words).err
    done = command(*words, "colours=auto")
    assert (done.status, done.err) == (0, "")
    assert "colours: 0,255,0 is object 1, 255,0,0 is object 2" in done.out
    assert set(np.unique(read_label_map(Path("out/clip/00001.png")))) == {0, 1, 2}
    other = command(*words, "colours=255,0,0;0,255,0", "output=out2")
    assert (other.status, other.err) == (0, "")


def test_a_folder_of_masks(command: Command, mask: Path, tmp_path: Path) -> None:
    """Of two videos, and of one video whose second object starts late."""
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", iter([np.zeros((24, 32, 3), np.uint8)] * 3), fps=10)
    for place in ("each/a", "each/b", "late/a/00000", "late/a/00001"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{place}.png").write_bytes(mask.read_bytes())
    both = ["predict", "method=copy_first", "device=cpu", "output=out", f"input={tmp_path / 'videos'}"]
    assert command(*both, f"mask={tmp_path / 'each'}", "colours=auto").status == 0
    assert set(np.unique(read_label_map(Path("out/b/00001.png")))) == {0, 1, 2}
    command(*both, f"mask={tmp_path / 'each'}", "colours=255,0,0;0,255,0").error(
        1, "out/given-masks/a.png was made of other masks: set output=<new folder>, or overwrite=true to redo it"
    )
    one = [*both[:3], "output=one", f"input={tmp_path / 'videos' / 'a.mp4'}", f"mask={tmp_path / 'late' / 'a'}"]
    assert command(*one, "colours=255,0,0;0,255,0").status == 0
    (tmp_path / "late/a/00001.png").unlink()
    command(*one, "colours=auto").error(1, "one/given-masks/00000.png was made of other masks: set output=<new folder>")
    assert command(*one, "colours=255,0,0;0,255,0", "overwrite=true").status == 0
    assert [path.name for path in Path("one/given-masks").iterdir()] == ["00000.png"]
    empty = tmp_path / "empty"
    empty.mkdir()
    command(*both, f"mask={empty}", "colours=auto").error(1, "holds no PNG: give a file, or a folder with masks")


def test_a_colour_is_the_same_object_in_all_masks(mask: Path, tmp_path: Path) -> None:
    """The second one lacks the first one's colour of object 1."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :8] = (255, 0, 0)
    (tmp_path / "late").mkdir()
    (tmp_path / "late/00000.png").write_bytes(mask.read_bytes())
    Image.fromarray(image).save(tmp_path / "late/00001.png")
    ids = write_label_maps_of_colours(tmp_path / "late", "auto", tmp_path / "ids", "name=<new name>")
    assert np.unique(read_label_map(ids / "00001.png")).tolist() == [0, 2]
    faulty = tmp_path / "late/00002.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)).save(faulty)
    with pytest.raises(UserError, match="shades of the objects' edges perhaps"):
        write_label_maps_of_colours(tmp_path / "late", "auto", tmp_path / "none", "name=<new name>")
    assert not (tmp_path / "none").exists()


def test_one_colour_is_typed_without_quotes(command: Command, tmp_path: Path) -> None:
    mask, image = tmp_path / "first.png", np.zeros((24, 32, 3), np.uint8)
    image[:, :8] = (255, 0, 0)
    Image.fromarray(image).save(mask)
    write_video(tmp_path / "clip.mp4", iter([np.zeros((24, 32, 3), np.uint8)] * 2), fps=10)
    words = ["predict", "method=copy_first", "device=cpu", f"input={tmp_path / 'clip.mp4'}", f"mask={mask}"]
    assert command(*words, "colours=255,0,0", "output=out").status == 0
    assert set(np.unique(read_label_map(Path("out/clip/00001.png")))) == {0, 1}
    assert "of your own video, colours=auto" in command(*words).err
