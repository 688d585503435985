"""The loop over a video, seen from both sides: what methods are shown, and what label maps come out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import jaxtyping
import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from hydra.utils import instantiate
from jaxtyping import Float
from torch import Tensor

from vosbench.cli import configuration
from vosbench.contract import Clip, Context, Padding
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator, propagate
from vosbench.inference.resizing import Halved, ReleasedSubsampling, Resizing, ShortSide, Square
from vosbench.method import Method
from vosbench.ops.align import resize, upsample_centres
from vosbench.util.errors import UserError
from vosbench.video.video import Image, LabelMap, Video

MEMORIES = configuration.groups(configuration.compose("benchmark"))["memory"]


@dataclass(frozen=True)
class Seen:
    """A frame's features: the frame itself."""

    images: Tensor


@dataclass(frozen=True)
class Kept:
    masks: Tensor


class Probe(Method[Seen, Kept]):
    """Copies the mask before, at its own size, and notes all it is shown."""

    supervision = "none"

    def __init__(
        self,
        stride: int = 4,
        side: Literal["right-bottom", "centre"] = "right-bottom",
        memory_masks: Literal["hard", "soft"] = "hard",
        scores: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.memory_masks = stride, Padding(side, (0.25, 0.5, -1.0)), memory_masks
        self.scores = scores
        self.encoded: list[Tensor] = []
        self.memorized: list[Tensor] = []
        self.contexts: list[Context[Seen, Kept]] = []
        self.extended = 0

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        raise NotImplementedError

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Seen:
        self.encoded.append(images)
        return Seen(images)

    def memorize(self, features: Seen, masks: Float[Tensor, "1 n h w"]) -> Kept:
        assert features.images.shape[2:] == masks.shape[2:]
        self.memorized.append(masks)
        return Kept(masks)

    def extend(self, value: Kept, count: int) -> Kept:
        self.extended += 1
        return replace(value, masks=nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Seen, context: Context[Seen, Kept]) -> Float[Tensor, "1 n h w"]:
        self.contexts.append(context)
        return context.previous.value.masks if self.scores is None else self.scores


AS_THEY_ARE = ShortSide()


def propagator(
    method: Probe, memory: FrameMemory[Kept] | None = None, resizing: Resizing = AS_THEY_ARE
) -> Propagator[Seen, Kept]:
    return Propagator(method, memory or FrameMemory(first=True, recent=(1,)), resizing)


def picture(h: int = 10, w: int = 14, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def labels(h: int = 10, w: int = 14, **boxes: Sequence[int]) -> LabelMap:
    """Boxes (top, bottom, left, right) by id: `_7=(0, 2, 3, 5)`."""
    made = np.zeros((h, w), np.uint8)
    for name, (top, bottom, left, right) in boxes.items():
        made[top:bottom, left:right] = int(name[1:])
    return made


def test_padding_at_the_right_and_bottom() -> None:
    method = Probe(stride=4)
    propagator(method).step(picture(), labels(_1=(0, 5, 0, 5)))
    (seen,) = method.encoded
    assert seen.shape == (1, 3, 12, 16)
    torch.testing.assert_close(seen[0, :, :10, :14], torch.from_numpy(picture()).permute(2, 0, 1) / 255)
    for channel, value in enumerate(method.padding.value):
        assert (seen[0, channel, 10:] == value).all()
        assert (seen[0, channel, :, 14:] == value).all()
    (masks,) = method.memorized
    assert masks[0, 0, 10:].all()
    assert masks[0, 1].sum() == 25


def test_padding_around_the_centre() -> None:
    method = Probe(stride=8, side="centre")
    out = propagator(method).step(picture(11, 14), labels(11, 14, _1=(0, 11, 0, 14)))
    (seen,), (masks,) = method.encoded, method.memorized
    assert seen.shape == (1, 3, 16, 16)
    torch.testing.assert_close(seen[0, :, 2:13, 1:15], torch.from_numpy(picture(11, 14)).permute(2, 0, 1) / 255)
    assert (seen[0, 1, :2] == 0.5).all()
    assert (seen[0, 1, 13:] == 0.5).all()
    assert masks[0, 1, 2:13, 1:15].all()
    assert masks[0, 1].sum() == 11 * 14
    assert (out == 1).all()


def test_a_fitting_size_is_not_padded() -> None:
    method = Probe(stride=4)
    propagator(method).step(picture(8, 12), labels(8, 12, _1=(0, 5, 0, 5)))
    assert method.encoded[0].shape == (1, 3, 8, 12)


def test_ids_need_not_follow_one_another() -> None:
    given = labels(_3=(0, 4, 0, 4), _200=(5, 8, 5, 9), _7=(8, 10, 0, 2))
    method = Probe()
    run = propagator(method)
    for i in range(3):
        np.testing.assert_array_equal(run.step(picture(seed=i), given if i == 0 else None), given)
    assert run.ids == [3, 7, 200]
    assert method.memorized[0].shape[1] == 4
    assert [float(channel.sum()) for channel in method.memorized[0][0, 1:]] == [16, 4, 12]


def test_a_late_object_keeps_the_ids_of_the_others() -> None:
    first, late = labels(_9=(0, 4, 0, 4)), labels(_2=(3, 6, 3, 6))
    run = propagator(Probe())
    run.step(picture(), first)
    out = run.step(picture(), late)
    np.testing.assert_array_equal(out, np.where(late > 0, late, first))  # given pixels overwrite, others stay
    np.testing.assert_array_equal(run.step(picture()), out)
    assert run.ids == [9, 2]


@pytest.mark.parametrize(
    ("memory", "kept"), [({"first": True, "recent": (1,)}, 2), ({"first": True}, 1), ({"last_n": 2}, 3)]
)
def test_what_is_kept_gets_its_new_channel_once(memory: dict[str, Any], kept: int) -> None:
    """The last frame is what a method sees as `previous`, and may be in memory as well."""
    method = Probe()
    run = propagator(method, FrameMemory(**memory))
    for t in range(4):
        run.step(picture(seed=t), labels(_1=(0, 2, 0, 2)) if t == 0 else None)
    run.step(picture(), labels(_2=(3, 6, 3, 6)))
    assert method.extended == kept


# Memories of tokens are tried with the method that has some (test_munet.py).
@pytest.mark.parametrize(
    "policy",
    [
        *(name for name in MEMORIES if name != "adaptive"),
        *("mamp memory.recent=[]", "mamp memory.first=false memory.long=[]", "mamp memory.long=[] memory.max_frames=4"),
        "first_last memory.prefilled=true",
    ],
)
def test_late_objects_under_every_memory_policy(policy: str) -> None:
    """What was kept before an object's start gets an empty channel for it; what was predicted does not change."""
    method = Probe()
    run = propagator(method, instantiate(configuration.compose("benchmark", f"memory={policy}".split()).memory))
    starts = {0: labels(_4=(0, 3, 0, 3)), 7: labels(_2=(4, 6, 4, 6)), 9: labels(_6=(7, 9, 7, 9), _1=(9, 10, 0, 9))}
    for t in range(16):
        out = run.step(picture(seed=t), starts.get(t))
        known = [i for start, given in starts.items() if start <= t for i in np.unique(given)[1:]]
        np.testing.assert_array_equal(np.unique(out), sorted([0, *known]))
        if t == 0:
            continue
        context = method.contexts[-1]
        assert context.index == t
        assert context.references
        kept = {entry.index: entry.value.masks for entry in context.references}
        kept[context.previous.index] = context.previous.value.masks
        for index, masks in kept.items():
            present = masks.flatten(2).any(2)[0].tolist()
            started = run.ids[: len(present) - 1]  # before the prompt of this frame
            assert present == [True, *[any(i in np.unique(starts[s]) for s in starts if s <= index) for i in started]]
        given_frames = {entry.index for entry in context.references if entry.given}
        assert given_frames == {entry.index for entry in context.references} & starts.keys()
    assert run.ids == [4, 2, 1, 6]


def test_frames_before_the_first_mask_are_empty_and_unseen() -> None:
    method = Probe()
    run = propagator(method)
    assert not run.step(picture()).any()
    assert not run.step(picture(), labels()).any()
    assert run.step(picture(), labels(_5=(0, 2, 0, 2))).any()
    run.step(picture())
    assert len(method.encoded) == 2
    assert method.contexts[0].index == 1  # counted from the first mask
    assert method.contexts[0].previous.index == 0
    assert len(run.seconds) == 4


def test_an_empty_mask_later_gives_nothing() -> None:
    method = Probe()
    run = propagator(method)
    run.step(picture(), labels(_1=(0, 2, 0, 2)))
    for _ in range(3):
        run.step(picture(), labels())
    assert [entry.given for entry in method.contexts[-1].references] == [True, False]


def test_previous_is_there_whatever_memory_keeps() -> None:
    method = Probe()
    run = propagator(method, FrameMemory(first=True))
    for t in range(4):
        run.step(picture(seed=t), labels(_1=(0, 2, 0, 2)) if t == 0 else None)
    assert [context.previous.index for context in method.contexts] == [0, 1, 2]
    assert [entry.index for entry in method.contexts[-1].references] == [0]
    assert torch.equal(method.contexts[-1].previous.features.images, method.encoded[2])


def test_given_pixels_overwrite_before_a_prediction_is_memorized() -> None:
    scores = torch.zeros(1, 3, 12, 16)
    scores[:, 1], scores[:, 0] = 0.6, 0.3
    method = Probe(scores=scores, memory_masks="soft")
    run = propagator(method)
    run.step(picture(), labels(_1=(0, 2, 0, 2), _2=(4, 6, 4, 6)))
    run.step(picture(), labels(_2=(0, 1, 0, 3)))
    soft = method.memorized[-1]
    assert soft[0, :, 0, 0].tolist() == [0, 0, 1]
    torch.testing.assert_close(soft[0, :, 5, 5], torch.tensor([0.3, 0.6, 0.0]))


def test_hard_memory_keeps_one_object_per_pixel() -> None:
    scores = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0)) / 3
    method = Probe(scores=scores)
    run = propagator(method)
    run.step(picture(), labels(_1=(0, 2, 0, 2), _2=(4, 6, 4, 6)))
    out = run.step(picture())
    np.testing.assert_array_equal(out, scores.argmax(1)[0, :10, :14])
    assert torch.equal(method.memorized[-1], nnf.one_hot(scores.argmax(1), 3).permute(0, 3, 1, 2).float())


@pytest.mark.parametrize("resizing", [ShortSide(subsample=2), ReleasedSubsampling(2)])
def test_subsampling(resizing: Resizing) -> None:
    """MAMP's half size: every second pixel of the padded frame is seen; scores grow to the padded size, given objects
    are put in there, then argmax, then every second pixel is memorized."""
    h, w = 19, 26  # padded to 24×32, seen as 12×16
    scores = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0)) / 3
    method = Probe(scores=scores)
    run = propagator(method, resizing=resizing)
    run.step(picture(h, w), labels(h, w, _1=(1, 2, 1, 2), _2=(4, 6, 4, 6)))
    given = labels(h, w, _2=(7, 8, 0, 26))
    out = run.step(picture(h, w), given)
    padded = method.padding.value[0] * torch.ones(24, 32)
    padded[:h, :w] = torch.from_numpy(picture(h, w)[..., 0]) / 255
    torch.testing.assert_close(method.encoded[1][0, 0], padded[::2, ::2])
    grown = upsample_centres(scores, 2) if isinstance(resizing, ShortSide) else resize(scores, (24, 32))
    grown[:, 0] += grown[:, 2]  # what else object 2 had in this frame
    grown[:, 2] = 0
    full = grown.argmax(1)[0]
    expected = torch.where(torch.from_numpy(given) > 0, torch.from_numpy(given), full[:h, :w])
    np.testing.assert_array_equal(out, expected)
    full[:h, :w] = expected
    np.testing.assert_array_equal(method.memorized[1].argmax(1)[0], full[::2, ::2])
    assert method.memorized[0][0, 1].sum() == 0  # an object in odd rows and columns only is not seen: as released


def test_a_static_mask_stays_at_half_size() -> None:
    given = labels(40, 60, _1=(11, 30, 13, 40))
    run = propagator(Probe(), resizing=ShortSide(subsample=2))
    run.step(picture(40, 60), given)
    maps = [run.step(picture(40, 60, seed=t)) for t in range(20)]
    assert (maps[0] == given).mean() > 0.95
    np.testing.assert_array_equal(maps[-1], maps[0])


@pytest.mark.parametrize(("h", "w"), [(11, 17), (30, 21), (64, 48)])
@pytest.mark.parametrize("resizing", [ShortSide(), ShortSide(None, 2), ShortSide(16), ShortSide(24, 2)])
def test_label_maps_have_the_frames_size(h: int, w: int, resizing: Resizing) -> None:
    given = labels(h, w, _5=(2, h // 2, 3, w // 2), _9=(h // 2, h, 0, w))
    run = propagator(Probe(), resizing=resizing)
    first = run.step(picture(h, w), given)
    np.testing.assert_array_equal(first[given > 0], given[given > 0])
    out = run.step(picture(h, w))
    assert out.shape == (h, w)
    assert out.dtype == np.uint8
    assert (out == given).mean() > 0.75


def test_the_short_side() -> None:
    method = Probe(stride=8)
    run = propagator(method, resizing=ShortSide(16))
    run.step(np.full((32, 49, 3), 51, np.uint8), labels(32, 49, _1=(0, 16, 0, 49)))
    (seen,), (masks,) = method.encoded, method.memorized
    assert seen.shape == (1, 3, 16, 24)
    torch.testing.assert_close(seen, torch.full_like(seen, 0.2))
    assert masks[0, 1, :8].all()
    assert not masks[0, 1, 8:].any()


@pytest.mark.parametrize(
    ("resizing", "size"),
    [
        (Square(24), (24, 24)),
        (Halved(short_side=16, halve_from=24), (8, 12)),
        (Halved(short_side=16, halve_from=26), (16, 24)),
        (Halved(halve_from=49), (16, 24)),
    ],
)
def test_other_sizes(resizing: Resizing, size: tuple[int, int]) -> None:
    """Of frames of 32 × 49 pixels."""
    assert resizing.resized(32, 49) == size
    given = labels(32, 49, _1=(0, 16, 0, 49))
    run = propagator(Probe(), resizing=resizing)
    np.testing.assert_array_equal(run.step(picture(32, 49), given), given)
    assert run.step(picture(32, 49)).shape == (32, 49)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ShortSide(short_side=0), r"inference\.short_side=0: give 1 or more"),
        (lambda: ShortSide(subsample=0), r"inference\.subsample=0: give 1 or more"),
        (lambda: Square(-1), r"inference\.square=-1: give 1 or more"),
        (lambda: Halved(halve_from=0), r"inference\.halve_from=0: give 1 or more"),
        (lambda: ReleasedSubsampling(0), r"inference\.subsample=0: give 1 or more"),
    ],
)
def test_sizes_that_make_no_sense(make: Callable[[], Resizing], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["inference.subsample=0"], "inference.subsample=0: give 1 or more"),
        (["inference.short_side=0"], "inference.short_side=0: give 1 or more"),
        (["inference=square", "inference.square=-1"], "inference.square=-1: give 1 or more"),
    ],
)
def test_a_size_that_makes_no_sense_is_one_line(command: Callable[..., Any], overrides: list[str], said: str) -> None:
    command("predict", "method=copy_first", "dataset=collage", "device=cpu", *overrides).error(1, said)


def test_a_resized_frame_stays_in_range() -> None:
    """Bicubic overshoots at edges; RGB outside of [0, 1] would be taken for padding."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    method = Probe(stride=1)
    propagator(method, resizing=ShortSide(40)).step(image, labels(64, 64, _1=(0, 9, 0, 9)))
    assert method.encoded[0].min() >= 0
    assert method.encoded[0].max() <= 1


def test_a_mask_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which would refuse it first
    with pytest.raises(ValueError, match=r"10×15.*10×14"):
        propagator(Probe()).step(picture(), labels(10, 15, _1=(0, 2, 0, 2)))


class Clip8(Video):
    """Eight frames; an object starts at frame 2."""

    name = "eight"
    frame_names = tuple(f"{i:05d}" for i in range(8))

    def __init__(self) -> None:
        self.reads: list[int] = []

    def frame(self, index: int) -> Image:
        self.reads.append(index)
        return picture(seed=index)

    def given(self, index: int) -> LabelMap | None:
        return labels(_3=(0, 2, 0, 2)) if index == 2 else None


def test_propagate_reads_and_encodes_each_frame_once() -> None:
    method, video = Probe(), Clip8()
    maps = list(propagate(propagator(method), video))
    assert [bool(each.any()) for each in maps] == [False, False, *[True] * 6]
    assert video.reads == list(range(8))
    assert len(method.encoded) == 6
    assert not any(each.requires_grad for each in method.encoded)
