"""Training clips: purity in (seed, i), cropping, labels, pasted objects, and sharing out among processes."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vosbench.contract import Clip
from vosbench.datasets.augment import Augment
from vosbench.datasets.clips import Clips, Source, collate
from vosbench.datasets.davis import Davis
from vosbench.datasets.sampling import ClipTable, StepSampler, Stills, Strided
from vosbench.video.video import Image, LabelMap, Video


class Ramp(Video):
    """A video whose red tells the row, green the column, blue the frame; the label of a pixel is row // 8 + 1."""

    def __init__(
        self, name: str = "ramp", count: int = 40, size: tuple[int, int] = (48, 64), labelled: bool = True
    ) -> None:
        self.name, self.size, self.labelled = name, size, labelled
        self.frame_names = tuple(f"{index:05d}" for index in range(count))

    def frame(self, index: int) -> Image:
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        return np.stack([2 * rows, 2 * columns, np.full_like(rows, 5 * index)], -1).astype(np.uint8)

    def annotation(self, index: int) -> LabelMap | None:
        rows = np.mgrid[: self.size[0], : self.size[1]][0]
        return (rows // 8 + 1).astype(np.uint8) if self.labelled else None


class Videos:
    name, split, resolution, frames, protocol = "videos", "train", "original", "all", "davis"
    whole = 1

    def __init__(self, *videos: Video) -> None:
        self.videos: Sequence[Video] = videos


def source(*videos: Video, repeat: int = 1) -> Source:
    return {"dataset": Videos(*videos), "repeat": repeat}  # type: ignore[typeddict-item]


def same(a: Clip, b: Clip) -> bool:
    return torch.equal(a.frames, b.frames) and torch.equal(a.indices, b.indices) and a.videos == b.videos


def test_repeat_and_names_of_sources() -> None:
    clips = Clips(
        {"once": source(Ramp("a")), "thrice": source(Ramp("b"), repeat=3)}, Strided((0, 1), [5], [1.0]), size=16, seed=0
    )
    names = [clips[index].videos[0] for index in range(16)]
    assert {name: names.count(name) for name in set(names)} == {"once/a": 4, "thrice/b": 12}


def test_resize_ignores_the_aspect() -> None:
    clip = Clips({"a": source(Ramp())}, Strided((0, 1), [5], [1.0]), size=24, seed=0)[0]
    assert clip.frames.shape == (1, 2, 3, 24, 24)
    assert clip.frames.dtype == torch.float32
    assert clip.labels is None
    assert clip.valid.all()
    # The centre of pixel (r, c) of 24 is row 2r + 0.5 of 48 and column (c + 0.5)·64/24 − 0.5 of 64.
    expected = 2 * (torch.arange(24)[:, None] * 2 + 0.5).expand(24, 24)
    torch.testing.assert_close(clip.frames[0, 0, 0, 1:-1] * 255, expected[1:-1], atol=1.01, rtol=0)
    columns = 2 * ((torch.arange(24) + 0.5) * 64 / 24 - 0.5).expand(24, 24)
    torch.testing.assert_close(clip.frames[0, 0, 1, :, 1:-1] * 255, columns[:, 1:-1], atol=1.01, rtol=0)
    torch.testing.assert_close(clip.frames[0, :, 2, 0, 0] * 255, 5.0 * clip.indices[0], atol=0.01, rtol=0)


def test_crop_cuts_all_frames_and_labels_at_one_place() -> None:
    clips = Clips(
        {"a": source(Ramp())}, Strided((0, 1), [5], [1.0]), size=24, mode="crop", flip=True, labels=True, seed=0
    )
    corners, mirrored = set(), set()
    for index in range(20):
        clip = clips[index]
        rgb = (clip.frames[0] * 255).round().int()
        rows, columns = rgb[:, 0] // 2, rgb[:, 1] // 2
        assert torch.equal(rows[0], rows[1])
        assert torch.equal(columns[0], columns[1])
        assert torch.equal(rows[0, :, 0], rows[0, 0, 0] + torch.arange(24))
        assert clip.labels is not None
        assert torch.equal(clip.labels[0], rows.long() // 8 + 1)
        corners.add((int(rows[0, 0, 0]), int(columns[0].min())))
        mirrored.add(int(columns[0, 0, 1] - columns[0, 0, 0]))
    assert len(corners) > 10
    assert mirrored == {1, -1}


def test_scale_brings_the_shorter_side_into_its_range() -> None:
    clips = Clips({"a": source(Ramp())}, Strided((0, 1), [5], [1.0]), size=24, mode="crop", scale=(24, 96), seed=0)
    steps = [float(clips[i].frames[0, 0, 0, :, 0].diff().mean() * 255 / 2) for i in range(60)]  # source rows a pixel
    assert 0.45 < min(steps) < 0.7
    assert 1.5 < max(steps) < 2.1


def test_pixels_beyond_a_small_frame_are_padded_and_not_valid() -> None:
    clips = Clips(
        {"a": source(Ramp(size=(10, 40)))}, Strided((0, 1), [5], [1.0]), size=24, mode="crop", labels=True, seed=0
    )
    clip = clips[0]
    assert clip.valid[0, :, :10].all()
    assert not clip.valid[0, :, 10:].any()
    assert clip.frames[0, :, :, 10:].eq(0).all()
    assert clip.labels is not None
    assert clip.labels[0, :, :10].gt(0).all()
    assert clip.labels[0, :, 10:].eq(0).all()


def test_frames_without_annotation_are_background() -> None:
    clips = Clips({"a": source(Ramp(labelled=False))}, Strided((0, 1), [5], [1.0]), size=8, labels=True, seed=0)
    labels = clips[0].labels
    assert labels is not None
    assert labels.eq(0).all()


def test_a_clip_depends_on_seed_and_index_alone() -> None:
    def make(seed: int) -> Clips:
        sources = {"a": source(Ramp()), "b": source(Ramp("other", 25))}
        return Clips(sources, Strided(), size=16, mode="crop", scale=(20, 40), flip=True, seed=seed)

    first, second, other = make(0), make(0), make(1)
    expected = [first[index] for index in range(12)]
    assert all(same(second[index], expected[index]) for index in (11, 0, 5))
    assert not all(same(other[index], expected[index]) for index in range(12))


def test_two_processes_and_a_resumed_run_see_the_batches_of_one() -> None:
    one = list(StepSampler(0, 6, batch=4))
    two = [list(StepSampler(0, 6, batch=4, rank=rank, world=2)) for rank in (0, 1)]
    assert list(itertools.chain(*one)) == list(range(24))
    assert [sorted(a + b) for a, b in zip(*two, strict=True)] == one
    assert all(index % 2 == rank for rank in (0, 1) for batch in two[rank] for index in batch)
    assert list(StepSampler(4, 6, batch=4)) == one[4:]
    assert len(StepSampler(4, 6, batch=4)) == 6  # counted from step 0
    with pytest.raises(
        ValueError, match=r"batch_size=5, .* 2 processes: set trainer\.devices=1, or data\.batch_size=6"
    ):
        StepSampler(0, 1, batch=5, world=2)
    parts = [list(StepSampler(1, 3, batch=8, rank=rank, world=2, parts=2)) for rank in (0, 1)]
    assert parts == [[[8, 10], [12, 14], [16, 18], [20, 22]], [[9, 11], [13, 15], [17, 19], [21, 23]]]
    assert len(StepSampler(1, 3, batch=8, world=2, parts=2)) == 6
    with pytest.raises(ValueError, match=r"2 processes × trainer\.accumulate_grad_batches=3"):
        StepSampler(0, 1, batch=8, world=2, parts=3)


def test_a_worker_loads_the_same_batches() -> None:
    clips = Clips({"a": source(Ramp())}, Strided(), size=16, mode="crop", labels=True, seed=0)
    loaded = [
        list(DataLoader(clips, batch_sampler=StepSampler(2, 5, 3), collate_fn=collate, num_workers=workers))
        for workers in (0, 1)
    ]
    assert loaded[0][0].frames.shape == (3, 2, 3, 16, 16)
    assert loaded[0][0].videos == ("a/ramp",) * 3
    assert all(same(a, b) for a, b in zip(*loaded, strict=True))


def test_stills_are_clips_of_one_frame() -> None:
    table = ClipTable([1, 1, 9], Stills(length=3, gap=4), seed=0)
    clips: dict[int, list[tuple[int, list[int]]]] = {}  # by epoch
    for index in range(100):
        clips.setdefault(table.epoch(index), []).append(table[index])
    starts = set()
    for drawn in list(clips.values())[:-1]:
        assert sorted(clip for clip in drawn if clip[0] < 2) == [(0, [0, 0, 0]), (1, [0, 0, 0])]
        taken = sorted(frames for video, frames in drawn if video == 2)
        assert taken == [[frame] * 3 for frame in range(taken[0][0], 9, 4)]
        starts.add(taken[0][0])
    assert starts == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="length=0, gap=1: give 1 or more"):
        Stills(0)


def test_a_still_is_read_once() -> None:
    class Counted(Ramp):
        reads = 0

        def frame(self, index: int) -> Image:
            self.reads += 1
            return super().frame(index)

    video = Counted(count=1)
    clip = Clips({"a": source(video)}, Stills(6), size=16, labels=True, seed=0)[0]
    assert clip.frames.shape == (1, 6, 3, 16, 16)
    assert clip.indices.tolist() == [[0] * 6]
    assert video.reads == 1


def test_augmented_clips() -> None:
    """Red tells the row of the frame, whose label is row // 8 + 1; outside of the picture is neither."""
    sources = {"a": source(Ramp())}
    augment = Augment(jitter=(0, 0, 0, 0), shift=0.3, shared=False)
    clips = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=24, labels=True, augment=augment, seed=0)
    outside = 0
    for index in range(10):
        clip = clips[index]
        assert clip.frames.shape == (1, 3, 3, 24, 24)
        assert clip.labels is not None
        rows = clip.frames[:, :, 0] * 255 / 2
        clear = clip.valid & ((rows + 0.5) % 8 > 1) & ((rows + 0.5) % 8 < 7)
        assert torch.equal(clip.labels[clear], (rows[clear] + 0.5).long() // 8 + 1)
        assert clip.labels[~clip.valid].eq(0).all()
        assert clip.frames.masked_select(~clip.valid.unsqueeze(2)).eq(0).all()
        outside += int((~clip.valid).sum())
    assert outside > 0
    again = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=24, labels=True, augment=augment, seed=0)
    assert same(again[7], clips[7])
    assert not same(again[7], clips[8])


def test_augmentation_needs_no_labels_and_moves_pseudo_labels() -> None:
    augment = Augment(jitter=(0, 0, 0, 0))
    plain = Clips({"a": source(Ramp())}, Strided((0, 1), [1], [1.0]), size=24, augment=augment, seed=0)[0]
    assert plain.labels is None
    pseudo = Clips(
        {"a": source(Ramp())}, Strided((0, 1), [1], [1.0]), size=24, labels="pseudo", augment=augment, seed=0
    )[0]
    assert pseudo.labels is None
    assert pseudo.pseudo_labels is not None
    assert torch.equal(pseudo.pseudo_labels > 0, pseudo.valid)


def test_objects_are_some_of_the_first_frame_in_any_order() -> None:
    class Late(Ramp):
        """Objects 1 to 6; 9 appears after the first frame."""

        def annotation(self, index: int) -> LabelMap | None:
            labels = super().annotation(index)
            assert labels is not None
            labels[:, 40:] = 255
            labels[:, :9] = 9 if index % 2 else 0
            return labels

    clips = Clips({"a": source(Late())}, Strided((0, 1), [1], [1.0]), size=48, labels=True, objects=2, seed=0)
    chosen = set()
    for index in range(60):
        labels = clips[index].labels
        assert labels is not None
        assert labels.unique().tolist() == [0, 1, 2]
        assert torch.equal(labels[0, 0], labels[0, 1])
        assert labels[..., 36:].eq(0).all()
        rows = [int((labels[0, 0] == id_).any(1).nonzero().float().mean()) // 8 + 1 for id_ in (1, 2)]
        chosen.add(tuple(rows))
    assert len(chosen) > 20  # of 30
    assert {first for first, _ in chosen} == set(range(1, 7))
    few = Clips({"a": source(Ramp())}, Strided((0, 1), [1], [1.0]), size=48, labels=True, objects=9, seed=0)[0].labels
    assert few is not None
    assert few.unique().tolist() == [1, 2, 3, 4, 5, 6]


class Block(Video):
    """A frame of one grey, with one object of its own that moves down; void beside it."""

    def __init__(self, name: str, grey: int, column: int, id_: int = 1) -> None:
        self.name, self.grey, self.column, self.id = name, grey, column, id_
        self.frame_names = ("0", "1", "2")

    def frame(self, index: int) -> Image:
        return np.full((16, 16, 3), self.grey, np.uint8)

    def annotation(self, index: int) -> LabelMap:
        labels = np.zeros((16, 16), np.uint8)
        labels[index : index + 4, self.column : self.column + 4] = self.id
        labels[:, self.column + 4] = 255
        return labels


def test_objects_of_other_clips_are_pasted_as_objects_on_their_own_way() -> None:
    sources = {"a": source(Block("dark", 50, 0), Block("light", 200, 8))}
    clips = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=16, labels=True, paste=1, seed=0)
    for index in range(8):
        clip = clips[index]
        assert clip.labels is not None
        own, others = (50, 200) if clip.videos == ("a/dark",) else (200, 50)
        grey = (clip.frames[0, :, 0] * 255).round()
        assert grey[:, 15, 15].eq(own).all()
        pasted = clip.labels[0] == 2
        assert torch.equal(pasted, grey == others)
        assert [int(each.any(1).nonzero()[0]) for each in pasted] == [0, 1, 2]
        assert clip.labels[0].unique().tolist() == [0, 1, 2, 255]
    chosen = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=16, labels=True, paste=2, objects=2, seed=0)
    assert all(labels is not None and labels.max() <= 2 for labels in (chosen[index].labels for index in range(8)))
    with pytest.raises(ValueError, match=r"data\.clips\.paste=1 with labels=False: give 0 or more, and labels=true"):
        Clips(sources, Strided(), size=16, paste=1)


def test_clips_without_masks_get_pasted_objects() -> None:
    sources = {"films": source(Ramp("film", 3, (16, 16), labelled=False)), "a": source(Block("dark", 50, 0))}
    clips = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=16, labels=True, paste=1, seed=0)
    films = [clip for clip in (clips[index] for index in range(12)) if clip.videos == ("films/film",)]
    pasted = [clip.labels for clip in films if clip.labels is not None and clip.labels.max() == 1]
    assert films
    assert pasted
    assert all(labels.unique().tolist() == [0, 1] for labels in pasted)


def test_pasted_objects_are_never_void_and_lie_beside_the_picture_too() -> None:
    sources = {"a": source(Block("dark", 50, 0, 200), Block("light", 200, 8, 55))}
    clips = Clips(sources, Strided((0, 1, 2), [1], [1.0]), size=16, labels=True, paste=1, seed=0)
    for index in range(4):
        labels = clips[index].labels
        assert labels is not None
        assert labels.unique().tolist() in ([0, 55, 255, 256], [0, 200, 255, 256])
    augment, sampler = Augment(rotation=45.0, tries=99), Strided((0, 1, 2), [1], [1.0])
    plain, pasted = (Clips(sources, sampler, 16, labels=True, augment=augment, paste=each) for each in (0, 1))
    new = []
    for index in range(8):
        clip, labels = pasted[index], pasted[index].labels
        assert labels is not None
        assert clip.valid[(labels > 0) & (labels != 255)].all()
        new.append(bool((clip.valid & ~plain[index].valid).any()))
    assert any(new)


def test_bad_settings_name_their_key() -> None:
    sources = {"a": source(Ramp())}
    with pytest.raises(ValueError, match=r"augment flips and crops itself: leave out mode, scale and flip"):
        Clips(sources, Strided(), size=16, mode="crop", augment=Augment())
    with pytest.raises(ValueError, match=r"augment.area is given for b: add the source a"):
        Clips(sources, Strided(), size=16, augment=Augment(area={"b": (0.5, 1)}))
    with pytest.raises(ValueError, match=r"data.clips.objects=2 with labels=pseudo: give 1 or more, and labels=true"):
        Clips(sources, Strided(), size=16, labels="pseudo", objects=2)
    with pytest.raises(ValueError, match="mode=zoom"):
        Clips(sources, Strided(), size=16, mode="zoom")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"data.clips.scale=\[40, 20\]"):
        Clips(sources, Strided(), size=16, mode="crop", scale=(40, 20))


@pytest.mark.real
def test_real_clips(real_data: Path) -> None:
    data = Davis(real_data / "davis2016-train-256p", "train", 2016, "256p")
    sources: dict[str, Source] = {"davis": {"dataset": data, "repeat": 1}}
    clips = Clips(sources, Strided(), size=160, mode="crop", scale=(192, 288), labels=True, seed=0)
    batch = collate([clips[index] for index in range(8)])
    assert batch.frames.shape == (8, 2, 3, 160, 160)
    assert batch.labels is not None
    assert set(batch.labels.flatten().tolist()) == {0, 1}
    # Frames of a clip are of one place: they are more alike than those of different clips.
    within = (batch.frames[:, 0] - batch.frames[:, 1]).abs().mean()
    between = (batch.frames[:, 0] - batch.frames[:, 1].roll(1, 0)).abs().mean()
    assert within < 0.7 * between


@pytest.mark.real
def test_real_augmented_clips(real_data: Path) -> None:
    data = Davis(real_data / "davis2017-240p", "train", 2017, "240p")
    sources: dict[str, Source] = {"davis": {"dataset": data, "repeat": 1}}
    for sampler, shared in ((Strided(range(6), [1], [1.0]), True), (Stills(6), False)):
        clips = Clips(sources, sampler, size=128, labels=True, augment=Augment(shared=shared), objects=2, seed=0)
        batch = collate([clips[index] for index in range(6)])
        assert batch.frames.shape == (6, 6, 3, 128, 128)
        assert batch.labels is not None
        assert set(batch.labels[:, 0].flatten().tolist()) == {0, 1, 2}
        # What an object has of the first frame, it has mostly of the second, where the geometry is one.
        first, second = (batch.labels[:, index] > 0 for index in (0, 1))
        assert ((first & second).sum() / (first | second).sum() > 0.6) == shared
