"""vosbench from Python: `vosbench.load`, objects that are added, corrected and removed, and clear errors."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

import vosbench
from vosbench.datasets.davis import Davis
from vosbench.inference.propagator import Propagator
from vosbench.util.errors import UsageError, UserError
from vosbench.video.images import write_label_map
from vosbench.video.video import Image, LabelMap

SIZE = (40, 56)


def picture(index: int = 0) -> Image:
    """Four quarters of other colours; `index` moves nothing but a little noise."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:20, :28], image[:20, 28:], image[20:, :28], image[20:, 28:] = (
        (200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40),
    )  # fmt: skip
    return image + np.random.default_rng(index).integers(0, 20, image.shape, dtype=np.uint8)


def quarter(id_: int, top: bool, left: bool) -> LabelMap:
    labels = np.zeros(SIZE, np.uint8)
    labels[: 20 if top else None, : 28 if left else None][0 if top else 20 :, 0 if left else 28 :] = id_
    return labels


@pytest.fixture
def segmenter() -> Propagator[Any, Any]:
    return vosbench.load("mamp", "device=cpu")


def test_ten_lines(segmenter: Propagator[Any, Any]) -> None:
    first = segmenter.step(picture(), quarter(3, True, True))
    np.testing.assert_array_equal(first, quarter(3, True, True))
    later = segmenter.step(picture(1))
    assert later.dtype == np.uint8
    assert (later == first).mean() > 0.9
    scores = segmenter.scores
    assert scores.shape == (2, *SIZE)
    np.testing.assert_array_equal(scores.argmax(0) == 1, later == 3)


def test_an_object_is_added_to_the_frame_that_was_just_seen(segmenter: Propagator[Any, Any]) -> None:
    """As if it had been given with the frame."""
    other = vosbench.load("mamp", "device=cpu")
    both = quarter(1, True, True) + quarter(4, False, False)
    other.step(picture(), quarter(1, True, True))
    other.step(picture(1), quarter(4, False, False))
    segmenter.step(picture(), quarter(1, True, True))
    segmenter.step(picture(1))
    added = segmenter.add(quarter(4, False, False))
    assert (added == both).mean() > 0.9
    assert (segmenter.ids, segmenter.starts) == ([1, 4], [0, 1])
    for index in range(2, 5):
        np.testing.assert_array_equal(segmenter.step(picture(index)), other.step(picture(index)))


def test_the_first_object_may_be_added(segmenter: Propagator[Any, Any]) -> None:
    assert not segmenter.step(picture()).any()
    np.testing.assert_array_equal(segmenter.add(quarter(2, True, False)), quarter(2, True, False))
    assert (segmenter.step(picture(1)) == quarter(2, True, False)).mean() > 0.9


def test_a_correction_replaces_the_object_and_no_other(segmenter: Propagator[Any, Any]) -> None:
    segmenter.step(picture(), quarter(1, True, True) + quarter(2, False, False))
    segmenter.step(picture(1))
    corrected = segmenter.add(quarter(1, True, False))
    np.testing.assert_array_equal(corrected == 1, quarter(1, True, False) == 1)
    assert (corrected[quarter(2, False, False) == 2] == 2).mean() > 0.9
    assert segmenter.ids == [1, 2]
    np.testing.assert_array_equal(segmenter.scores.argmax(0) == 1, quarter(1, True, False) == 1)


@pytest.mark.parametrize("propagate", ["refined", "coarse"])
def test_memory_holds_the_correction_and_nothing_of_what_was_wrong(propagate: str) -> None:
    segmenter = vosbench.load("mask_embedding_small", "device=cpu", f"method.propagate={propagate}")
    segmenter.step(picture(), quarter(1, True, True) + quarter(2, False, False))
    segmenter.step(picture(1))
    segmenter.add(quarter(1, True, False))
    assert segmenter.previous is not None
    kept = segmenter.previous.value.masks.argmax(1)[0].numpy()  # at stride 8
    assert (kept[:2, 4:] == 1).all()
    assert not (kept[:, :3] == 1).any()
    assert not (kept[3:] == 1).any()


def test_a_removed_object_is_background_until_it_is_given_again(segmenter: Propagator[Any, Any]) -> None:
    segmenter.step(picture(), quarter(1, True, True) + quarter(2, False, False))
    segmenter.remove(1)
    assert set(np.unique(segmenter.step(picture(1)))) == {0, 2}
    again = segmenter.step(picture(2), quarter(1, False, True))
    np.testing.assert_array_equal(again == 1, quarter(1, False, True) == 1)
    assert segmenter.starts == [2, 0]
    assert set(np.unique(segmenter.step(picture(3)))) == {0, 1, 2}


@pytest.mark.parametrize("before", ["unknown", "background"])
@pytest.mark.parametrize(
    ("method", "memory"), [("mamp", "mamp"), ("munet_narrow", "stm"), ("munet_narrow", "adaptive")]
)
def test_nothing_is_left_of_an_object_that_is_given_again(method: str, memory: str, before: str) -> None:
    words = (f"memory={memory}", f"inference.before_start={before}", "inference.short_side=null")
    segmenter = vosbench.load(method, "device=cpu", *words)
    segmenter.step(picture(), quarter(1, True, True) + quarter(2, False, False))
    segmenter.remove(1)
    segmenter.step(picture(1))
    segmenter.step(picture(2), quarter(1, False, True))
    labels = segmenter.step(picture(3))
    assert (labels[quarter(1, False, True) > 0] == 1).mean() > 0.8
    assert (labels[quarter(1, True, True) > 0] == 1).mean() < 0.2


def test_a_reset_forgets_the_video(segmenter: Propagator[Any, Any]) -> None:
    expected = [segmenter.step(picture(index), None if index else quarter(1, True, True)) for index in range(3)]
    segmenter.reset()
    assert segmenter.ids == []
    smaller = np.ascontiguousarray(picture()[:32])
    assert not segmenter.step(smaller).any()
    segmenter.reset()
    for index, labels in enumerate(expected):
        np.testing.assert_array_equal(segmenter.step(picture(index), None if index else quarter(1, True, True)), labels)


def test_a_mask_may_be_of_truth_values(segmenter: Propagator[Any, Any]) -> None:
    truth = quarter(1, True, True) > 0
    np.testing.assert_array_equal(segmenter.step(picture(), truth), truth)


def test_settings_are_words_or_keywords(tmp_path: Path) -> None:
    loaded = [
        vosbench.load("copy_first", "device=cpu", "channels_last=true", "cache_features=null"),
        vosbench.load("copy_first", device="cpu", channels_last=True, cache_features=None, seed=0),
    ]
    for run in loaded:
        np.testing.assert_array_equal(run.step(picture(), quarter(1, True, True)), quarter(1, True, True))
    with pytest.raises(UserError, match="a, b"):
        vosbench.load("mamp", checkpoint=tmp_path / "a, b.ckpt")


def test_precision(segmenter: Propagator[Any, Any]) -> None:
    """Computed in bfloat16, without a context around it: scores differ, labels hardly."""
    low = vosbench.load("mamp", "device=cpu", "precision=bf16-mixed")
    for run in (low, segmenter):
        run.step(picture(), quarter(1, True, True))
    assert (low.step(picture(1)) == segmenter.step(picture(1))).mean() > 0.98
    assert (low.scores != segmenter.scores).any()


BAD: list[tuple[Any, Any, str]] = [
    (picture().astype(np.float32), None, "a frame is float32 of shape (40, 56, 3): give RGB as a uint8 array"),
    (picture()[..., 0], None, "a frame is uint8 of shape (40, 56): give RGB"),
    ([1, 2], None, "a frame is a list: give RGB"),
    (picture()[:30], None, "a frame is 30×56 (rows×columns), the one before 40×56: call reset()"),
    (picture(), quarter(1, True, True) / 2, "the given mask is float64 of shape (40, 56): give object ids"),
    (picture(), quarter(1, True, True)[:30], "the given mask is 30×56 (rows×columns), its frame 40×56"),
    (picture(), quarter(1, True, True) * 255, "the given mask has the id 255: give 1 to 254"),
    (picture(), quarter(1, True, True).astype(int) * -1, "the given mask has the id -1: give 1 to 254"),
]


@pytest.mark.parametrize(("image", "mask", "message"), BAD, ids=[message[:30] for *_, message in BAD])
def test_what_cannot_be_given(
    segmenter: Propagator[Any, Any], image: Any, mask: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video goes on as if nothing had been given."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which would refuse it first
    segmenter.step(picture(), quarter(1, True, True))
    with pytest.raises(UserError, match=re.escape(message)):
        segmenter.step(image, mask)
    assert (segmenter.step(picture(1)) == quarter(1, True, True)).mean() > 0.9


def test_other_mistakes(segmenter: Propagator[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no frame yet: give the mask to step"):
        segmenter.add(quarter(1, True, True))
    with pytest.raises(UserError, match="there are no scores before the first mask"):
        segmenter.scores  # noqa: B018
    segmenter.step(picture(), quarter(1, True, True))
    with pytest.raises(UserError, match="there is no object 7: choose from 1"):
        segmenter.remove(7)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mampp").mkdir()  # a folder is no file of weights
    with pytest.raises(UsageError, match=r"unknown method 'mampp'.*--config-dir <its folder>"):
        vosbench.load("mampp")
    (tmp_path / "mine.safetensors").touch()
    with pytest.raises(UsageError, match=r'is no method: vosbench.load\("<its method>", checkpoint="'):
        vosbench.load(str(tmp_path / "mine.safetensors"))
    with pytest.raises(UsageError, match="unknown key 'devise'"):
        vosbench.load("mamp", "devise=cpu")
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        vosbench.lode  # noqa: B018


def test_scores_of_a_folder(davis: Path, tmp_path: Path) -> None:
    """The annotations themselves score 1."""
    dataset, maps = Davis(davis, "val", 2017), tmp_path / "maps"
    for video in dataset.videos:
        (maps / video.name).mkdir(parents=True)
        for index, name in enumerate(video.frame_names):
            labels, first = video.annotation(index), video.annotation(0)
            assert labels is not None
            assert first is not None
            write_label_map(maps / video.name / f"{name}.png", np.where(np.isin(labels, first), labels, 0))
    assert vosbench.evaluate(maps, dataset).scores["J&F-Mean"] == 1
    with pytest.raises(UserError, match="protocol=davos does not exist"):
        vosbench.evaluate(maps, dataset, "davos")


def code_of_the_docs() -> list[str]:
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
    return [part.partition("```")[0] for part in page.split("```python\n")[1:]]


def test_the_python_of_the_docs_runs(davis: Path, tmp_path: Path) -> None:
    segmenting, scoring = code_of_the_docs()
    assert max(len(code.strip().splitlines()) for code in (segmenting, scoring)) <= 10
    for video in Davis(davis, "val", 2017).videos:
        files = [video.frame_file(index) for index in range(len(video.frame_names))]
        (tmp_path / "maps" / video.name).mkdir(parents=True)
        exec(segmenting, {"frames": files, "first_mask": video.mask_file(0), "output": tmp_path / "maps" / video.name})
    names: dict[str, Any] = {"root": davis, "predictions": tmp_path / "maps"}
    exec(scoring, names)
    assert 0 <= names["found"].scores["J&F-Mean"] <= 1


def test_the_package_is_light_until_it_is_used() -> None:
    loaded = "'torch' in sys.modules"
    code = f"import sys, vosbench; assert not {loaded}; assert vosbench.Segmenter; assert {loaded}"
    subprocess.run([sys.executable, "-c", code], check=True)
