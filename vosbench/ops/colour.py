"""Colour spaces."""

import torch
from jaxtyping import Float
from torch import Tensor

# Linear sRGB → XYZ relative to the D65 white point (IEC 61966-2-1), rows X/Xn, Y/Yn, Z/Zn; OpenCV's constants.
_RGB_TO_XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)


def rgb_to_lab(rgb: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """CIE Lab of sRGB images in [0, 1], in float: L in [0, 100], a and b in about [-127, 127].

    This is the formula itself. OpenCV's conversion of float images interpolates in tables: it is off by up to 0.02 from
    linear RGB and 0.6 from sRGB. Its 8-bit conversion also rounds.
    """
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4, rgb / 12.92)
    red, green, blue = linear.unbind(-3)
    # Not a matrix product: autocast would compute it in half precision, which makes Lab coarser than 8 bits.
    xyz = torch.stack([r * red + g * green + b * blue for r, g, b in _RGB_TO_XYZ], -3)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -3)


def normalised_lab(rgb: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Lab scaled to about [-1, 1] from RGB in [0, 1]; padding (negative RGB) becomes 0, which is grey."""
    lab = rgb_to_lab(rgb.clamp(min=0))
    scaled = (lab - lab.new_tensor((50, 0, 0)).view(3, 1, 1)) / lab.new_tensor((50, 127, 127)).view(3, 1, 1)
    return scaled.masked_fill(rgb[..., :1, :, :] < 0, 0)
