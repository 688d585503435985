import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vosbench.drawing import encoding, overlays
from vosbench.drawing.contact_sheet import contact_sheet
from vosbench.video.images import read_image, read_label_map
from vosbench.video.palette import PALETTE

RED, GREEN = PALETTE[3:6], PALETTE[6:9]


def scene() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A grey picture of 40×60 with object 1 on the left, 2 on the right, and void at the bottom."""
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 5:25], labels[10:30, 35:55], labels[36:] = 1, 2, 255
    return np.full((40, 60, 3), 100, np.uint8), labels


def decoded(data: bytes) -> NDArray[np.uint8]:
    with Pillow.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_overlay_tints_objects_and_leaves_background_and_void_alone() -> None:
    image, labels = scene()
    mixed = overlays.overlay(image, labels, opacity=0.5)
    assert mixed[20, 15].tolist() == [114, 50, 50]
    assert mixed[20, 5].tolist() == RED, "the contour has the full colour"
    assert mixed[29, 54].tolist() == GREEN
    assert (mixed[(labels == 0) | (labels == 255)] == 100).all()
    assert overlays.overlay(image, labels, boundary=False)[20, 5].tolist() == [114, 50, 50]
    assert (image == 100).all(), "the input stays as it was"


def test_neighbouring_objects_have_a_contour_between_them() -> None:
    labels = np.array([[1, 2]], np.uint8).repeat(10, axis=1).repeat(8, axis=0)
    mixed = overlays.overlay(np.zeros((8, 20, 3), np.uint8), labels)
    assert mixed[4, 9].tolist() == RED
    assert mixed[4, 10].tolist() == GREEN
    assert mixed[4, 3].tolist() == [64, 0, 0]


def test_error_map_tells_hit_missed_and_false_apart() -> None:
    annotation = np.array([[0, 1, 1, 2, 255]], np.uint8)
    prediction = np.array([[1, 1, 0, 1, 0]], np.uint8)
    picture = overlays.error_map(annotation, prediction)
    assert [tuple(pixel) for pixel in picture[0].tolist()][:4] == [
        overlays.FALSE,
        overlays.HIT,
        overlays.MISSED,
        overlays.MISSED,
    ]
    assert picture[0, 4].tolist() == [245, 245, 245]


def test_flow_colours_show_direction_length_and_the_unknown() -> None:
    flow = np.zeros((1, 6, 2), np.float32)
    flow[0, 1], flow[0, 2], flow[0, 3], flow[0, 4], flow[0, 5] = (4, 0), (-4, 0), (0, 4), (2, 0), np.nan
    rest, right, left, down, slow, unknown = overlays.flow_colours(flow, largest=4)[0].astype(int)
    assert rest.tolist() == [255, 255, 255]
    assert right[0] > right[1:].max() + 150
    assert left[0] + 150 < left[1:].min()
    assert down[1] > down[2] + 150
    assert right[1] < slow[1] < 255
    assert unknown.tolist() == [150, 150, 150]
    assert overlays.flow_colours(np.full((2, 2, 2), np.nan, np.float32)).tolist() == [[[150] * 3] * 2] * 2
    # Without a given length the longest of many vectors is drawn in full colour.
    assert (overlays.flow_colours(np.full((4, 4, 2), (0.1, 0), np.float32))[0, 0] == right).all()


def test_contact_sheet_places_images_of_different_sizes_and_writes_titles() -> None:
    red, blue = np.zeros((20, 30, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    plain = contact_sheet([[red, blue], [blue, red]], width=400)
    assert plain.shape[1] == 400
    assert plain[60, 100].tolist() == [255, 0, 0]
    assert plain[60, 300].tolist() == [0, 0, 255]
    assert plain[190, 100].tolist() == [0, 0, 255]
    titled = contact_sheet([[red, blue], [blue, red]], ["a", "ŵ→"], width=400)
    assert titled.shape[0] < plain.shape[0] + 30
    assert titled[:14].min() < 120, "the column titles are dark on white"
    long = contact_sheet([[red, blue]], ["a title that is much longer than its column " * 3, "b"], width=200)
    assert long.shape[1] == 200


def test_contact_sheet_refuses_ragged_rows_and_wrong_titles() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    ragged: list[list[list[NDArray[np.uint8]]]] = [[], [[]], [[image], [image, image]]]
    for rows in ragged:
        with pytest.raises(ValueError, match="equally many"):
            contact_sheet(rows)
    with pytest.raises(ValueError, match="as many titles"):
        contact_sheet([[image]], titles=["a", "b"])
    with pytest.raises(ValueError, match="wider"):
        contact_sheet([[image] * 50], width=100)


def test_written_video_plays_back_with_even_size(tmp_path: Path) -> None:
    frames = [np.full((41, 61, 3), 20 * i, np.uint8) for i in range(10)]
    encoding.write_video(tmp_path / "out.mp4", iter(frames), fps=12.5)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate or 0) == pytest.approx(12.5)
        played = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(played) == 10
    assert played[0].shape == (40, 60, 3)
    for frame, original in zip(played, frames, strict=True):
        assert abs(float(frame.mean()) - float(original.mean())) < 6


def test_a_video_that_fails_half_way_leaves_nothing_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no frames"):
        encoding.write_video(path, [])
    with pytest.raises(ValueError, match=r"out\.mp4"):
        encoding.write_video(path, [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)])
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == b"old"


def test_file_bytes_are_exact_as_png_and_small_as_jpeg() -> None:
    grey = np.mgrid[:64, :64].sum(0) + np.random.default_rng(0).integers(0, 60, (64, 64))
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    assert np.array_equal(decoded(encoding.png_bytes(image)), image)
    small, large = encoding.jpeg_bytes(image, quality=30), encoding.jpeg_bytes(image, quality=95)
    assert len(small) < len(large) < len(encoding.png_bytes(image))
    assert np.abs(decoded(large).astype(int) - image).mean() < 8


@pytest.mark.real
def test_seven_objects_of_a_real_video_stay_apart() -> None:
    root = os.environ.get("VOSBENCH_DATA")
    if not root:
        pytest.skip("VOSBENCH_DATA is not set")
    folder = Path(root) / "davis2017-240p"
    labels = read_label_map(folder / "Annotations/240p/schoolgirls/00000.png")
    image = read_image(folder / "JPEGImages/240p/schoolgirls/00000.jpg")
    mixed = overlays.overlay(image, labels)
    assert set(np.unique(labels).tolist()) == set(range(8))
    for number in range(1, 8):
        assert (mixed[labels == number] == overlays.COLOURS[number]).all(-1).any(), "each object has its contour"
    assert np.array_equal(mixed[labels == 0], image[labels == 0])
