"""Objects of a user's own video to look at: coloured and numbered in the picture, or cut out of it."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from vosbench.drawing.encoding import write_video
from vosbench.drawing.overlays import COLOURS, PAPER, TEXT, Image, LabelMap, contour, overlay
from vosbench.inference.prediction_folder import PredictionFolder
from vosbench.util.files import folder_aside
from vosbench.video.palette import VOID
from vosbench.video.video import Video

FPS = 24.0  # of videos that say nothing of it


def write_overlay(video: Video, folder: PredictionFolder, fps: float | None) -> Path:
    """Writes `<video>-overlay.mp4` beside the label maps: the frames to evaluate, with their objects coloured and
    numbered. fps: None: the video's own."""
    frames = (numbered(video.frame(i), folder.label_map(video.name, name)) for i, name in listed(video))
    path = folder.root / f"{video.name}-overlay.mp4"
    write_video(path, frames, fps or video.rate or FPS)
    return path


def write_cutouts(video: Video, folder: PredictionFolder) -> Path:
    """Writes `<video>-cutout/<frame>.png` beside the label maps: the objects, and nothing of what is around them."""
    path = folder.root / f"{video.name}-cutout"
    with folder_aside(path) as aside:
        for i, name in listed(video):
            Pillow.fromarray(cut_out(video.frame(i), folder.label_map(video.name, name))).save(aside / f"{name}.png")
    return path


def listed(video: Video) -> list[tuple[int, str]]:
    """The frames to evaluate, which have label maps: their indices and names."""
    return [(i, name) for i, name in enumerate(video.frame_names) if video.is_listed(name)]


def numbered(image: Image, labels: LabelMap) -> Image:
    """Objects tinted, with an outline that shows on things of their own colour, too, and with their ids."""
    ids = [int(i) for i in np.unique(labels) if i not in (0, VOID)]
    drawn = overlay(image, labels, opacity=0.35, boundary=False)
    edge = contour(labels)
    width = max(1, round(min(labels.shape) / 240))
    rim = cv2.dilate(edge.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    drawn[rim] = TEXT
    drawn[edge] = COLOURS[labels[edge]]
    for id_ in ids:
        _write(drawn, str(id_), _middle(labels == id_))
    return drawn


def cut_out(image: Image, labels: LabelMap) -> np.ndarray:
    """RGBA: transparent where no object is."""
    alpha = np.where((labels == 0) | (labels == VOID), 0, 255).astype(np.uint8)
    return np.dstack([np.where(alpha[..., None] > 0, image, 0), alpha]).astype(np.uint8)


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """The place (x, y) in an object that is farthest from its outline."""
    inside = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(x) - 1, int(y) - 1


def _write(image: Image, text: str, middle: tuple[int, int]) -> None:
    """White with a dark rim, readable on anything."""
    scale = max(0.5, min(image.shape[:2]) / 360)
    thickness, rim = max(1, round(2.5 * scale)), max(1, round(2 * scale))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    reach = max(width, height) + rim
    left, top = (max(0, at - reach) for at in middle)
    part = image[top : middle[1] + reach, left : middle[0] + reach]  # a view
    glyphs, place = np.zeros(part.shape[:2], np.uint8), (middle[0] - width // 2 - left, middle[1] + height // 2 - top)
    cv2.putText(glyphs, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    around = cv2.dilate(glyphs, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
    for colour, shape in ((TEXT, around), (PAPER, glyphs)):
        share = shape[..., None] / 255
        part[:] = np.rint(part * (1 - share) + np.array(colour) * share)
