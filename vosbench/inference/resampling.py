"""Resizing pictures and masks with the kernels that published protocols use: label maps depend on them."""

from typing import Literal

import cv2
import numpy as np
import PIL.Image
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vosbench.ops.align import resize
from vosbench.video.video import Image

# bicubic and bilinear: PyTorch's, antialiased, on floats. cv2_bilinear: OpenCV's, which skips pixels when it shrinks;
# cv2_bilinear_float: the same on floats, as CRW does.
Kernel = Literal["bicubic", "bilinear", "cv2_bilinear", "cv2_bilinear_float", "pil_bicubic", "nearest"]
MapKernel = Literal["bilinear", "cv2_bilinear", "nearest"]
FirstMask = Literal["nearest", "pil_nearest", "bilinear"]
Size = tuple[int, int]  # height and width


def shrunk(image: Image, size: Size, kernel: Kernel, device: torch.device) -> Float[Tensor, "1 3 h2 w2"]:
    """A picture as RGB in [0, 1], resized with `kernel` unless it has the size already."""
    if image.shape[:2] == size:
        return _in_unit_range(image, device)
    if kernel == "bicubic" or kernel == "bilinear":
        return nnf.interpolate(_in_unit_range(image, device), size, mode=kernel, antialias=True).clamp(0, 1)
    if kernel == "pil_bicubic":
        return _in_unit_range(
            np.asarray(PIL.Image.fromarray(image).resize(size[::-1], PIL.Image.Resampling.BICUBIC)), device
        )
    if kernel == "cv2_bilinear_float":
        found = _cv2_bilinear(image.astype(np.float32) / 255, size)
        return torch.from_numpy(found).to(device).permute(2, 0, 1).unsqueeze(0)
    how = cv2.INTER_LINEAR if kernel == "cv2_bilinear" else cv2.INTER_NEAREST_EXACT
    return _in_unit_range(cv2.resize(image, size[::-1], interpolation=how), device)


def _in_unit_range(image: UInt8[np.ndarray, "h w 3"], device: torch.device) -> Float[Tensor, "1 3 h w"]:
    return torch.tensor(image, device=device).permute(2, 0, 1).unsqueeze(0) / 255


def soft_mask(
    channels: Int[np.ndarray, "h w"], count: int, size: Size, kernel: FirstMask, device: torch.device
) -> Float[Tensor, "1 n h2 w2"]:
    """A map of channel numbers as `count` channels at another size, which sum to 1.

    nearest      the number at the centre of each cell
    pil_nearest  the same; Pillow takes the other one of two pixels if the centre lies between them
    bilinear     OpenCV's interpolation of the channels, each 0 or 1, between the four pixels around the centre
    """
    if kernel == "bilinear" and channels.shape != size:
        each = (channels[..., None] == np.arange(count)).astype(np.float32)
        return torch.from_numpy(_cv2_bilinear(each, size)).to(device).movedim(2, 0).unsqueeze(0)
    if kernel == "pil_nearest":
        channels = pil_nearest(channels.astype(np.uint8), size).astype(np.int64)
    there = resized_maps(torch.from_numpy(channels)[None, None].float().to(device), size, "nearest")
    return nnf.one_hot(there[:, 0].long(), count).movedim(3, 1).float()


def pil_nearest(labels: UInt8[np.ndarray, "h w"], size: Size) -> UInt8[np.ndarray, "h2 w2"]:
    """A label map at another size, with Pillow's rounding errors, which label maps of DINO depend on. Without them:
    `video.images.resize_labels`."""
    return np.asarray(PIL.Image.fromarray(labels).resize(size[::-1], PIL.Image.Resampling.NEAREST))


def resized_maps(maps: Float[Tensor, "1 n h w"], size: Size, kernel: MapKernel) -> Float[Tensor, "1 n h2 w2"]:
    """Maps at another size."""
    if maps.shape[2:] == size:
        return maps
    if kernel == "nearest":
        return nnf.interpolate(maps, size, mode="nearest-exact")
    if kernel == "bilinear":
        return resize(maps, size)
    found = _cv2_bilinear(maps[0].movedim(0, 2).contiguous().cpu().numpy(), size)
    return torch.from_numpy(found).to(maps.device).movedim(2, 0).unsqueeze(0)


def _cv2_bilinear(maps: Float[np.ndarray, "h w n"], size: Size) -> Float[np.ndarray, "h2 w2 n"]:
    found: Float[np.ndarray, "h2 w2 n"] = cv2.resize(maps, size[::-1]).reshape(*size, -1)
    return found
