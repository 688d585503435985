"""DINO's multi-crop augmentation (Caron et al. 2021), on the device and for all images of a batch at once.

Scaling and blurring treat rows and columns separately, so that each is two batched products with a matrix per image. A
loop over images would spend a GPU's time on launching thousands of small operations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from vosbench.ops.draws import Draws
from vosbench.util.errors import Problems

ASPECT = (3 / 4, 4 / 3)  # of a crop, width to height
TRIES = 10  # to find a crop that fits into its image, as in torchvision's RandomResizedCrop
JITTER = (0.4, 0.4, 0.2)  # brightness, contrast, saturation: largest change of the factor
HUE = 0.1  # largest change, in turns of the colour circle
BLUR = (0.1, 2.0)  # standard deviation in pixels of the crop
SHARP = 1e-3  # a deviation too small to blur anything


@dataclass(frozen=True)
class MultiCrop:
    """Two large crops and several small ones of each image, each with its own random flip and colour jitter.

    global_size, local_size    sides of the crops in pixels
    local_crops                number of small crops per image; may be 0
    global_scale, local_scale  range of the share of the image's area that a crop shows, before scaling

    Probabilities: .5 to be mirrored, .8 to change in colour, .2 to become grey. The first large crop is always blurred.
    The second is blurred with probability .1 and solarised with .2; the small ones are blurred with .5. The order in
    which brightness, contrast, saturation and hue change is drawn for each crop, and shared by all images of the batch;
    DINO draws it for each image. Raises UserError naming the keys that make no sense.
    """

    global_size: int = 224
    local_size: int = 96
    local_crops: int = 8
    global_scale: Sequence[float] = (0.14, 1.0)
    local_scale: Sequence[float] = (0.05, 0.14)

    def __post_init__(self) -> None:
        found = [f"{key}={getattr(self, key)}: give 1 or more" for key in _SIZES if getattr(self, key) < 1]
        found += [f"local_crops={self.local_crops}: give 0 or more"] if self.local_crops < 0 else []
        for key in ("global_scale", "local_scale"):
            scale = getattr(self, key)
            if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
                found.append(f"{key}={list(scale)}: give the smallest and the largest share of the area, above 0 to 1")
        if found:
            raise Problems("method.crops", found)

    def __call__(
        self, images: Float[Tensor, "n 3 h w"], valid: Bool[Tensor, "n h w"], draws: Draws
    ) -> list[Float[Tensor, "views n 3 _ _"]]:
        """The two large crops and, apart, the small ones: RGB in [0, 1].

        images   RGB in [0, 1]
        valid    false in padding, which lies right of and below the picture; crops never include it
        """
        extent = torch.stack([valid.any(2).sum(1), valid.any(1).sum(1)], 1).clamp(min=1).cpu()
        wide = [
            _view(images, extent, draws, self.global_size, self.global_scale, blur=1.0, solarise=0.0),
            _view(images, extent, draws, self.global_size, self.global_scale, blur=0.1, solarise=0.2),
        ]
        narrow = [
            _view(images, extent, draws, self.local_size, self.local_scale, blur=0.5, solarise=0.0)
            for _ in range(self.local_crops)
        ]
        return [torch.stack(views) for views in (wide, narrow) if views]


_SIZES = ("global_size", "local_size")


def _view(
    images: Float[Tensor, "n 3 h w"],
    extent: Int[Tensor, "n 2"],
    draws: Draws,
    size: int,
    scale: Sequence[float],
    blur: float,
    solarise: float,
) -> Float[Tensor, "n 3 size size"]:
    """One crop of each image; `blur` and `solarise` are probabilities."""
    count = len(images)
    start, length = draw_boxes(extent, scale, draws)
    crops = cut(images, start, length, draws.rand(count) < 0.5, size)
    crops = jitter(crops, draws.rand(count) < 0.8, draws)
    crops = torch.where(_per_image(draws.rand(count) < 0.2, crops), transform.rgb_to_grayscale(crops, 3), crops)
    deviation = torch.where(draws.rand(count) < blur, draws.uniform(*BLUR, count), SHARP)
    crops = gaussian_blur(crops, deviation)
    inverted = _per_image(draws.rand(count) < solarise, crops) & (crops >= 0.5)
    return torch.where(inverted, 1 - crops, crops)


def draw_boxes(
    extent: Int[Tensor, "n 2"], scale: Sequence[float], draws: Draws
) -> tuple[Int[Tensor, "n 2"], Int[Tensor, "n 2"]]:
    """First row and column, and height and width, of a random part of each image of `extent` (height, width).

    Its share of the area lies in `scale` and its aspect in `ASPECT`; where no try fits, the last is cut to fit.
    """
    count = len(extent)
    area = extent.prod(1) * draws.uniform(scale[0], scale[1], count, TRIES).T
    aspect = draws.uniform(math.log(ASPECT[0]), math.log(ASPECT[1]), count, TRIES).T.exp()
    sides = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], 2).round().long().clamp(min=1)
    fits = (sides <= extent).all(2)
    fits[-1] = True
    chosen = sides[fits.int().argmax(0), torch.arange(count)].minimum(extent)
    return (draws.rand(count, 2) * (extent - chosen + 1)).long(), chosen


def cut(
    images: Float[Tensor, "n 3 h w"],
    start: Int[Tensor, "n 2"],
    length: Int[Tensor, "n 2"],
    mirrored: Bool[Tensor, " n"],
    size: int,
) -> Float[Tensor, "n 3 size size"]:
    """A part of each image, scaled to size × size by antialiased bicubic interpolation, and mirrored or not."""
    start, length = start.to(images.device), length.to(images.device)
    rows, columns = (_scaling(start[:, axis], length[:, axis], images.shape[2 + axis], size) for axis in (0, 1))
    columns = torch.where(mirrored.to(images.device).view(-1, 1, 1), columns.flip(1), columns)
    return _both_ways(images, rows, columns).clamp(0, 1)


def _scaling(start: Int[Tensor, " n"], length: Int[Tensor, " n"], pixels: int, size: int) -> Float[Tensor, "n size _"]:
    """Weights with which each pixel of a crop mixes the pixels along one axis; 0 outside of the part shown."""
    first, shown = start.view(-1, 1, 1), length.view(-1, 1, 1)
    step = shown / size
    place = first + (torch.arange(size, device=start.device).view(-1, 1) + 0.5) * step
    pixel = torch.arange(pixels, device=start.device)
    away = ((pixel + 0.5 - place) / step.clamp(min=1)).abs()
    # Keys' cubic with a = -1/2, which Pillow uses.
    weights = torch.where(away < 1, (1.5 * away - 2.5) * away**2 + 1, ((-0.5 * away + 2.5) * away - 4) * away + 2)
    weights = weights.masked_fill((away >= 2) | (pixel < first) | (pixel >= first + shown), 0)
    return weights / weights.sum(2, keepdim=True)


def gaussian_blur(crops: Float[Tensor, "n 3 s s"], deviation: Float[Tensor, " n"]) -> Float[Tensor, "n 3 s s"]:
    """Each crop blurred with its own deviation, in pixels; weights outside the crop are redistributed inside."""
    pixel = torch.arange(crops.shape[-1], device=crops.device)
    squares = (pixel.view(-1, 1) - pixel).square()
    spread = torch.softmax(-squares / (2 * deviation.to(crops.device).view(-1, 1, 1) ** 2), 2)
    return _both_ways(crops, spread, spread)


def _both_ways(
    images: Float[Tensor, "n 3 h w"], rows: Float[Tensor, "n h2 h"], columns: Float[Tensor, "n w2 w"]
) -> Float[Tensor, "n 3 h2 w2"]:
    return rows.unsqueeze(1) @ images @ columns.mT.unsqueeze(1)


def jitter(images: Float[Tensor, "n 3 h w"], which: Bool[Tensor, " n"], draws: Draws) -> Float[Tensor, "n 3 h w"]:
    """Random brightness, contrast, saturation and hue of the chosen images; others stay unchanged.

    The order of the changes is one for all images, of torch's CPU generator.
    """
    changes = (brightness, contrast, saturation, hue)
    drawn = [draws.uniform(1 - most, 1 + most, len(images)) for most in JITTER]
    amounts = [torch.where(which, factor, 1) for factor in drawn]
    amounts.append(torch.where(which, draws.uniform(-HUE, HUE, len(images)), 0))
    for number in torch.randperm(len(changes)).tolist():
        images = changes[number](images, _per_image(amounts[number], images))
    return images


def brightness(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Scales brightness; factor 0 gives black."""
    return (images * factor).clamp(0, 1)


def contrast(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Scales contrast; factor 0 gives the image's mean grey."""
    mean: Tensor = transform.rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True)
    return mean.lerp(images, factor).clamp(0, 1)


def saturation(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Scales saturation; factor 0 gives grey."""
    grey: Tensor = transform.rgb_to_grayscale(images, 3)
    return grey.lerp(images, factor).clamp(0, 1)


def hue(images: Float[Tensor, "n 3 h w"], turns: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Moves each colour round the hexagon of HSV; value and chroma stay the same."""
    red, green, blue = images.split(1, 1)
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    safe = chroma.clamp(min=1e-8)
    other = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    corner = torch.where(value == red, (green - blue) / safe, other) + 6 * turns
    away = (images.new_tensor((5, 3, 1)).view(3, 1, 1) + corner) % 6
    return value - chroma * away.minimum(4 - away).clamp(0, 1)


def _per_image(values: Tensor, images: Float[Tensor, "n 3 h w"]) -> Tensor:
    """One value for each image, on the images' device, in a shape that broadcasts over their pixels."""
    return values.to(images.device).view(-1, 1, 1, 1)
