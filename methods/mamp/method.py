"""MAMP: self-supervised VOS by motion-aware mask propagation (Miao et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.contract import Clip, Context, Padding
from vosbench.inference.visuals import Matches, Vectors, Visual, cell_at
from vosbench.method import Method
from vosbench.methods.mamp.encoder import STAGES, STRIDE, Encoder, from_released
from vosbench.nn.optical_flow import FlowEstimator
from vosbench.ops.affinity import local_matches, local_readout
from vosbench.ops.align import gather_positions, resize, sample_centres, upsample_centres
from vosbench.ops.colour import normalised_lab
from vosbench.ops.offset import NEAR, coarse_offsets, offset_readout
from vosbench.ops.photometric import drop_channel, reconstruction_error
from vosbench.settings.checks import below, not_sizes, refuse

Key = Float[Tensor, "1 c h w"]


@dataclass(frozen=True)
class Features:
    """A frame's key at stride 4, the flow estimator's view of it, and its size in pixels.

    `flows`: from this frame to the references that it was compared with, by how many frames they are back. Objects that
    start late are read more than once from the same references.
    """

    key: Key
    motion: Any
    size: tuple[int, int]
    flows: dict[int, Float[Tensor, "2 h w"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """A memory entry: a frame's features, and masks on the grid of its key."""

    features: Features
    masks: Float[Tensor, "1 n h w"]


class MAMP(Method[Features, Memory]):
    """Trained to reconstruct a colour channel from another frame; segments by reading labels from aligned references.

    flow       estimates motion from query to reference (inference only)
    widths     channels of the encoder's four stages
    channels   of a key
    train_radius, radius  of the search window in cells of 4×4 pixels, in training and at inference; 0: one cell
    top_k      candidates used, over all references (table 6); null: all
    matching   flow: windows around where the flow points (section "Motion-aware Spatio-temporal Matching"); none:
               around the query's own position; mast: MAST's coarse search for references more than 15 frames away, and
               no top-k (table 3)
    alignment  size_aware: padded to the stride, masks at kernel centres; mast: the same without padding; bilinear:
               neither
    upsample   exact: the inverse of sampling kernel centres; released: half-pixel bilinear, as the authors' code
    scale      sqrt_c: dot products divided by √channels (the paper's fix of MAST); none: as MAST
    mask_oob   excludes candidates outside the frame; in the authors' code they compete, with affinity 0 and label 0

    Raises UserError naming the options that make no sense.
    """

    name = "mamp"
    supervision = "self-supervised"
    colours = "Lab"
    # Grey in Lab for the encoder and black for the flow. A negative value distinguishes padding from the picture.
    padding = Padding("right-bottom", (-1.0, -1.0, -1.0))
    memory_masks = "hard"

    def __init__(
        self,
        flow: FlowEstimator[Any],
        widths: Sequence[int] = (64, 128, 256, 256),
        channels: int = 64,
        train_radius: int = 6,
        radius: int = 12,
        top_k: int | None = 36,
        matching: Literal["flow", "none", "mast"] = "flow",
        alignment: Literal["size_aware", "mast", "bilinear"] = "size_aware",
        upsample: Literal["exact", "released"] = "exact",
        scale: Literal["sqrt_c", "none"] = "sqrt_c",
        mask_oob: bool = False,
    ) -> None:
        super().__init__()
        found = not_sizes(STAGES, widths=widths) + below(1, channels=channels, top_k=top_k)
        refuse("method", found + below(0, train_radius=train_radius, radius=radius))
        self.encoder = Encoder(widths, channels)
        self.flow = flow
        self.helpers = (flow,) if matching == "flow" else ()
        self.train_radius, self.radius = train_radius, radius
        self.top_k = None if matching == "mast" else top_k
        self.matching, self.alignment, self.upsample, self.mask_oob = matching, alignment, upsample, mask_oob
        self.scale = channels**-0.5 if scale == "sqrt_c" else 1.0
        self.stride = STRIDE if alignment == "size_aware" else 1

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Reconstructs the last frame's dropped channel from the other frames (eq. 3 and 4)."""
        lab, target = drop_channel(normalised_lab(clip.frames.masked_fill(~clip.valid.unsqueeze(2), -1)))
        keys = [self._key(frame) for frame in lab.unbind(1)]  # separately: each frame has its own batch statistics
        values = [self._to_grid(frame) for frame in target.unbind(1)]
        size = (clip.frames.shape[-2], clip.frames.shape[-1])
        rebuilt = self.read_and_decode(keys[-1], keys[:-1], values[:-1], size, self.train_radius)
        return {"reconstruction": reconstruction_error(rebuilt, target[:, -1], clip.valid[:, -1])}

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        picture = (images[0].clamp(0, 1) * 255).round().byte()
        return Features(
            self._key(normalised_lab(images)), self.flow.encode(picture), (images.shape[2], images.shape[3])
        )

    def keys(self, features: Features) -> Key:
        return features.key

    def memorize(self, features: Features, masks: Float[Tensor, "1 n h w"]) -> Memory:
        return Memory(replace(features, flows={}), self._to_grid(masks))

    def extend(self, value: Memory, count: int) -> Memory:
        return replace(value, masks=nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Float[Tensor, "1 n h w"]:
        keys = [entry.value.features.key for entry in context.references]
        masks = [entry.value.masks for entry in context.references]
        gaps = [context.index - entry.index for entry in context.references]
        if self.matching == "mast" and max(gaps) > NEAR:  # otherwise windows are in their usual places
            return self._from_grid(self._read_coarse_to_fine(query.key, keys, masks, gaps), query.size)
        positions = self._positions(query, context)
        return self.read_and_decode(query.key, keys, masks, query.size, self.radius, self.top_k, positions)

    def intermediate_maps(self, query: Features, context: Context[Features, Memory]) -> dict[str, Visual]:
        """The flow to each reference, named by how many frames before the query the reference is."""
        if self.matching != "flow":
            return {}
        gaps = {context.index - entry.index: entry.value.features for entry in context.references}
        return {f"flow to t−{gap}": Vectors(self._flow(query, seen, gap)) for gap, seen in gaps.items()}

    def matches(
        self, query: Features, context: Context[Features, Memory], pixel: tuple[int, int]
    ) -> list[dict[str, Visual]]:
        """Windows and the best candidates in each reference. A second row shows windows not moved by flow (figure 3b).

        There are no rows for MAST's search of distant references, whose windows lie between cells.
        """
        gaps = [context.index - entry.index for entry in context.references]
        if self.matching == "mast" and max(gaps) > NEAR:
            return []
        positions = self._positions(query, context)
        rows = {"": None} if positions is None else {", window moved by flow": positions, ", window not moved": None}
        keys = [entry.value.features.key for entry in context.references]
        cell = cell_at(pixel, STRIDE, (query.key.shape[2], query.key.shape[3]))
        choose = partial(local_matches, query.key, keys, cell, radius=self.radius, scale=self.scale, top_k=self.top_k)
        with torch.autocast(query.key.device.type, enabled=False):
            found = {how: choose(positions=where, mask_oob=self.mask_oob) for how, where in rows.items()}
        return [
            {f"t−{gap}{how}": Matches(gap, *each) for gap, each in zip(gaps, chosen, strict=True)}
            for how, chosen in found.items()
        ]

    def read_and_decode(
        self,
        query: Float[Tensor, "b c h w"],
        keys: Sequence[Float[Tensor, "b c h w"]],
        values: Sequence[Float[Tensor, "b n h w"]],
        size: tuple[int, int],
        radius: int,
        top_k: int | None = None,
        positions: Sequence[Int[Tensor, "h w"]] | None = None,
    ) -> Float[Tensor, "b n h2 w2"]:
        """The values of similar reference cells, at `size` pixels: colours in training, masks at inference."""
        with torch.autocast(query.device.type, enabled=False):  # only the encoder runs in mixed precision
            read = local_readout(
                query,
                keys,
                values,
                radius=radius,
                scale=self.scale,
                top_k=top_k,
                positions=positions,
                mask_oob=self.mask_oob,
                skip_uniform=not self.training,  # labels are uniform nearly everywhere, colours nowhere
            )
        return self._from_grid(read, size)

    def _read_coarse_to_fine(
        self, query: Key, keys: Sequence[Key], masks: Sequence[Float[Tensor, "1 n h w"]], gaps: Sequence[int]
    ) -> Float[Tensor, "1 n h w"]:
        with torch.autocast(query.device.type, enabled=False):
            offsets = [
                coarse_offsets(query, key, gap, self.radius, self.scale) for key, gap in zip(keys, gaps, strict=True)
            ]
            return offset_readout(query, keys, masks, offsets, self.radius, self.scale)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_released(state)

    def _key(self, lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        key: Tensor = self.encoder(lab)
        return key.float()

    def _positions(self, query: Features, context: Context[Features, Memory]) -> list[Int[Tensor, "h w"]] | None:
        """For each reference, the cell that the flow from each query cell points to; None if windows are not moved."""
        if self.matching != "flow":
            return None
        seen = [(entry.value.features, context.index - entry.index) for entry in context.references]
        return [gather_positions(self._flow(query, features, gap)) for features, gap in seen]

    def _flow(self, query: Features, reference: Features, gap: int) -> Float[Tensor, "2 h w"]:
        if gap not in query.flows:
            query.flows[gap] = self.flow.estimate(query.motion, reference.motion, gap=gap, stride=STRIDE)
        return query.flows[gap]

    def _to_grid(self, maps: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n h2 w2"]:
        if self.alignment != "bilinear":
            return sample_centres(maps, STRIDE)
        h, w = maps.shape[-2:]
        return resize(maps, (-(-h // STRIDE), -(-w // STRIDE)))

    def _from_grid(self, maps: Float[Tensor, "b n h w"], size: tuple[int, int]) -> Float[Tensor, "b n h2 w2"]:
        if self.alignment == "size_aware" and self.upsample == "exact":
            return upsample_centres(maps, STRIDE)[..., : size[0], : size[1]]
        return resize(maps, size)
