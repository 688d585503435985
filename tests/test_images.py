"""Reading images and masks: EXIF orientation, 16 bits, shades of grey, and palettes at odds with their indices."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vosbench.util.errors import UserError
from vosbench.video.formats import FRAME_SUFFIXES, MASK_SUFFIXES, UNREAD_SUFFIXES
from vosbench.video.images import image_size, read_image, read_label_map, write_label_map
from vosbench.video.judgement import grey_levels, palette_fault
from vosbench.video.palette import PALETTE

ORIENTATION = 0x0112
UNALIKE = np.random.default_rng(0).integers(0, 255, (6, 10), np.uint8)  # unlike itself, however it is turned


def turned(path: Path, image: Image.Image, orientation: int) -> np.ndarray:
    """Saves an image with an EXIF orientation, and gives what viewers show of it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif, lossless=True)  # of WebP; the others ignore it
    stored = Image.fromarray(np.asarray(image)) if path.suffix != ".jpg" else Image.open(path)
    stored.getexif()[ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(stored))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_frames_are_upright_as_in_viewers(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a{suffix}"
    shown = turned(path, Image.fromarray(UNALIKE).convert("RGB"), orientation)
    np.testing.assert_array_equal(read_image(path), shown)
    assert image_size(path) == shown.shape[:2] == ((10, 6) if orientation > 4 else (6, 10))


@pytest.mark.parametrize("orientation", [3, 6])
def test_masks_are_upright_and_keep_their_ids(tmp_path: Path, orientation: int) -> None:
    mask = Image.fromarray(UNALIKE % 5)
    mask.putpalette(PALETTE)
    shown = turned(tmp_path / "a.png", mask, orientation)
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "a.png")), shown)


def test_exif_in_front_of_the_pixels_of_a_png_counts_too(tmp_path: Path) -> None:
    """Pillow writes it behind them; most others do not."""
    path = tmp_path / "a.png"
    turned(path, Image.fromarray(UNALIKE), 6)
    content = path.read_bytes()
    start, pixels = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    path.write_bytes(content[:pixels] + content[start:end] + content[pixels:start] + content[end:])
    assert image_size(path) == read_image(path).shape[:2] == (10, 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # by Pillow, as it opens the file
def test_broken_exif_is_ignored_as_in_viewers(tmp_path: Path) -> None:
    for number, exif in enumerate(
        (b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x09\0")
    ):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(UNALIKE).save(path, exif=exif)
        assert image_size(path) == read_image(path).shape[:2] == (6, 10)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    for suffix in (".png", ".tif", ".pgm"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(UNALIKE.astype(np.uint16) * 257).save(path)
        np.testing.assert_array_equal(read_image(path), np.repeat(UNALIKE[:, :, None], 3, axis=2))
    Image.fromarray(np.array([[0, 128, 129, 65535]], np.uint16)).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png")[0, :, 0].tolist() == [0, 0, 1, 255]


def test_twelve_bits_of_a_pgm_are_scaled_by_their_own_range(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 4095\n" + np.array([0, 2048, 4095], ">u2").tobytes())
    assert read_image(path)[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.1, 0.2]], np.float32), [0, 26, 51]),
        (np.array([[-2, 0, 2]], np.float32), [0, 128, 255]),
        (np.array([[7, 7, 7]], np.float32), [0, 0, 0]),
        (np.array([[np.nan, 10, 20]], np.float32), [0, 0, 255]),
        (np.array([[0, 50_000, 100_000]], np.int32), [0, 128, 255]),
    ],
)
def test_other_ranges_are_scaled_and_not_clipped(tmp_path: Path, values: np.ndarray, shown: list[int]) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 2].tolist() == shown


@pytest.mark.filterwarnings("error")
def test_every_mode_is_shown_in_its_colours(tmp_path: Path) -> None:
    colours = Image.fromarray(np.random.default_rng(1).integers(0, 255, (6, 10, 3), np.uint8))
    for mode, suffix in (("RGBA", ".png"), ("LA", ".png"), ("1", ".png"), ("CMYK", ".tif"), ("L", ".bmp")):
        image = colours.convert(mode)
        image.save(tmp_path / f"{mode}{suffix}")
        np.testing.assert_array_equal(read_image(tmp_path / f"{mode}{suffix}"), np.asarray(image.convert("RGB")))
    indexed = colours.quantize(8)
    shown = np.asarray(indexed.convert("RGB"))
    indexed.save(tmp_path / "P.png", transparency=bytes(range(8)))
    np.testing.assert_array_equal(read_image(tmp_path / "P.png"), shown)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_animations_are_no_frames(tmp_path: Path, suffix: str) -> None:
    """Only their first picture would be read."""
    path, images = tmp_path / f"a{suffix}", [Image.new("L", (8, 6), grey) for grey in (0, 100, 200)]
    images[0].save(path, save_all=True, append_images=images[1:])
    for read in (read_image, read_label_map):
        with pytest.raises(UserError, match=rf"a{suffix} holds 3 pictures: save each of them in a file of its own"):
            read(path)


def test_the_preview_in_a_camera_s_file_is_no_matter(tmp_path: Path) -> None:
    images = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    images[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=images[1:])
    assert read_image(tmp_path / "a.jpg")[0, 0, 0] > 250


def test_the_endings_are_those_of_pillow() -> None:
    known = set(Image.registered_extensions())
    assert known >= FRAME_SUFFIXES > MASK_SUFFIXES
    assert not FRAME_SUFFIXES & UNREAD_SUFFIXES
    assert not FRAME_SUFFIXES & {".pdf", ".gif", ".mpg", ".ico"}


def soft(size: int = 64, step: int = 1) -> np.ndarray:
    """A disc with smooth edges."""
    rows, columns = np.mgrid[: 8 * size, : 8 * size]
    disc = ((rows - 4 * size) ** 2 + (columns - 4 * size) ** 2 < (2 * size) ** 2).astype(np.uint8) * 255
    grey = np.asarray(Image.fromarray(disc).resize((size, size), Image.Resampling.LANCZOS))
    return grey if step == 1 else (grey // step * step + (grey == 255) * (255 - 255 // step * step)).astype(np.uint8)


def test_soft_edges_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for mask in (soft(), soft(step=64), soft() // 2):  # many levels, few, and those of a dark mask
        Image.fromarray(mask).save(path)
        levels = len(np.unique(mask)) - 1
        with pytest.raises(UserError, match=rf"a.png has {levels} grey levels.*give each pixel the id of one object"):
            read_label_map(path, judged=True)
        np.testing.assert_array_equal(read_label_map(path), mask)
    Image.fromarray(soft()).save(path)
    with pytest.raises(UserError, match="grey levels"):
        read_label_map(path, judged=True, binary=True)


def test_ids_are_no_shades() -> None:
    classes = np.zeros((40, 40), np.uint8)  # of a semantic data set, with void between
    classes[:20], classes[20:], classes[19:21] = 30, 157, 255
    many = np.repeat(np.repeat(np.arange(36, dtype=np.uint8).reshape(6, 6), 8, 0), 8, 1)
    hard = np.where(soft() > 127, np.uint8(255), np.uint8(0))
    for mask in (classes, many, hard):
        assert grey_levels(mask, "L", binary=False) == 0
    assert grey_levels(hard, "L", binary=True) == 0


def test_a_jpeg_holds_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray((UNALIKE > 99).astype(np.uint8)).resize((80, 48), Image.Resampling.NEAREST).save(path, quality=60)
    with pytest.raises(UserError, match=r"a.jpg is a JPEG, whose compression changes ids"):
        read_label_map(path)
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(path)  # nothing was lost
    assert (read_label_map(path) == 255).all()


def test_values_that_pillow_would_scale_are_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 3\n" + bytes([0, 1, 2]))
    with pytest.raises(UserError, match=r"a.pgm counts grey up to 3, which are scaled"):
        read_label_map(path)
    path.write_bytes(b"P5 3 1 255\n" + bytes([0, 1, 2]))
    assert read_label_map(path).tolist() == [[0, 1, 2]]


def indexed(path: Path, ids: list[int], *colours: tuple[int, int, int]) -> Path:
    image = Image.fromarray(np.array([ids], np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    image.save(path)
    return path


BLACK, RED, GREEN, YELLOW, WHITE = (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("ids", "colours", "fault"),
    [
        ([0, 1], [RED, BLACK], "index 0 is not black, and index 1 is"),
        ([0, 1], [WHITE, BLACK], "index 0 is not black, and index 1 is"),
        ([0, 1, 2], [BLACK, GREEN, RED], "index 1 has the VOC colour of id 2"),
        ([0, 1], [BLACK, GREEN], "index 1 has the VOC colour of id 2"),  # an optimizer has dropped red
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_palettes_that_contradict_their_indices(
    tmp_path: Path, ids: list[int], colours: list[tuple[int, int, int]], fault: str, suffix: str
) -> None:
    assert palette_fault(indexed(tmp_path / f"a{suffix}", ids, *colours)) == fault


@pytest.mark.parametrize(
    ("ids", "colours"),
    [
        ([0, 1, 2], [BLACK, RED, GREEN, YELLOW]),
        ([0, 1, 255], [BLACK, RED, *[BLACK] * 253, WHITE]),
        ([0, 1, 2], [BLACK] * 256),
        ([0, 1, 255], [(value, value, value) for value in range(256)]),
        ([0, 1, 2], [BLACK, (236, 95, 103), (249, 145, 87), (250, 200, 99)]),
        ([0, 1, 2], [BLACK, (255, 0, 0), GREEN]),
        ([0, 1], [BLACK, RED, BLACK, GREEN]),  # index 3 is not used
        ([0, 0], [RED, BLACK]),
    ],
)
def test_other_palettes_are_no_matter(tmp_path: Path, ids: list[int], colours: list[tuple[int, int, int]]) -> None:
    assert palette_fault(indexed(tmp_path / "a.png", ids, *colours)) is None


def test_the_palettes_of_other_files_are_no_matter(tmp_path: Path) -> None:
    write_label_map(tmp_path / "own.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    Image.fromarray(UNALIKE).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no image")
    huge = bytearray((tmp_path / "own.png").read_bytes())
    huge[16:24] = (65535).to_bytes(4) * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4)
    (tmp_path / "huge.png").write_bytes(huge)
    for name in ("own", "grey", "text", "huge"):
        assert palette_fault(tmp_path / f"{name}.png") is None
