"""A prediction that ends inside a video goes on there, with equal label maps."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.cli import configuration
from vosbench.datasets.davis import Davis
from vosbench.inference import snapshots
from vosbench.inference.predictor import Predictor
from vosbench.inference.propagator import Propagator, propagate
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map

Command = Callable[..., Any]
FOLDER = Path("runs/copy_first/default/predictions/davis2017-val")
METHODS = {
    "mamp_small": [],
    "mask_embedding_small": ["memory.last_n=3"],
    "munet_small": ["memory=adaptive", "memory.budget=300"],
    "features": [],
    "flow_warp": [],
}


def on(davis: Path, *overrides: str) -> list[str]:
    return [
        "predict",
        "dataset=davis2017",
        f"dataset.root={davis}",
        "device=cpu",
        "dataset.late_objects=true",
        *overrides,
    ]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot after every frame."""
    monkeypatch.setattr(snapshots, "EVERY", 0.0)
    monkeypatch.setattr(snapshots, "SHARE", 0)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], list[int]]:
    """Has something happen at a step. The list gets the number of each step that is taken."""

    def ended(step: int, happens: Callable[[], object]) -> list[int]:
        taken: list[int] = []
        inner = Propagator.step

        def counting(self: Propagator[Any, Any], *arguments: Any) -> Any:
            taken.append(len(taken))
            if len(taken) == step:
                happens()
            return inner(self, *arguments)

        monkeypatch.setattr(Propagator, "step", counting)
        return taken

    return ended


def maps(sequence: str) -> list[np.ndarray]:
    return [read_label_map(file) for file in sorted((FOLDER / sequence).glob("*.png"))]


def test_an_interrupted_video_goes_on_from_its_last_frame(
    command: Command, davis: Path, often: None, ended: Callable[..., list[int]]
) -> None:
    whole = on(davis, "method=copy_first", "dataset.sequences=[a]", "overwrite=true")
    assert command(*whole).status == 0
    before = maps("a")
    taken = ended(4, lambda: signal.raise_signal(signal.SIGINT))
    command(*whole).error(130, "interrupted; the same command goes on from here")
    assert not (FOLDER / "a").exists()
    assert len(list(FOLDER.glob(".records/a.*.state"))) == 1
    done = command(*on(davis, "method=copy_first", "dataset.sequences=[a]"))
    assert "a goes on after 3 of 6 frames" in done.out
    assert len(taken) == 4 + 3
    for one, other in zip(before, maps("a"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.suffix for path in FOLDER.glob(".records/[!.]*")} == {".json"}
    assert {path.name for path in FOLDER.glob(".*")} == {".records"}


def test_a_state_of_other_settings_is_not_read(
    command: Command, davis: Path, often: None, ended: Callable[..., list[int]]
) -> None:
    taken = ended(4, lambda: signal.raise_signal(signal.SIGINT))
    command(*on(davis, "method=copy_first", "dataset.sequences=[a]")).error(130, "interrupted")
    there = f"output={FOLDER}"  # the folder of the same method at another size
    done = command(*on(davis, "method=copy_first", "dataset.sequences=[a]", "inference.short_side=16", there))
    assert done.status == 0
    assert "goes on after" not in done.out
    assert len(taken) == 4 + 6
    assert not list(FOLDER.glob(".records/*.state"))


def test_overwriting_begins_anew(command: Command, davis: Path, often: None, ended: Callable[..., list[int]]) -> None:
    words = on(davis, "method=copy_first", "dataset.sequences=[a]")
    taken = ended(4, lambda: signal.raise_signal(signal.SIGINT))
    command(*words).error(130, "interrupted")
    done = command(*words, "overwrite=true")
    assert done.status == 0
    assert "goes on after" not in done.out
    assert len(taken) == 4 + 6


def test_an_error_leaves_nothing(command: Command, davis: Path, often: None, ended: Callable[..., list[int]]) -> None:
    def fails() -> None:
        raise UserError("a frame cannot be read")

    ended(4, fails)
    command(*on(davis, "method=copy_first", "dataset.sequences=[a]")).error(1, "a frame cannot be read")
    assert not list(FOLDER.glob(".records/*.state"))
    assert not list(FOLDER.glob(".a.part"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_alike(method: str, davis: Path, tmp_path: Path, often: None) -> None:
    """An object starts after the snapshot, so memory is still changed."""
    words = [f"method={method}", "device=cpu", "checkpoint=none", *METHODS[method]]
    config = configuration.resolve(configuration.compose("predict", words))
    predictor = Predictor.load(configuration.options(configuration.task("predict"), config))
    video = Davis(davis, "val", 2017, late_objects=True).videos[1]
    whole = list(propagate(predictor.propagator(), video))
    first = predictor.propagator()
    steps = propagate(first, video)
    kept = snapshots.Snapshots(tmp_path / "a.state")
    begun = [next(steps) for _ in range(2)]
    kept.offer(2, first.state)
    found = kept.read(predictor.device)
    assert found is not None
    second = predictor.propagator()
    second.go_on(found[1])
    for one, other in zip(whole, [*begun, *propagate(second, video, found[0])], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(second.seconds) == len(whole)


def test_a_state_that_somebody_else_wrote_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.save({"frames": 1, "state": {}}, tmp_path / "a.state")
    kept = snapshots.Snapshots(tmp_path / "a.state")
    assert kept.read(torch.device("cpu")) == (1, {})
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert kept.read(torch.device("cpu")) is None


def test_snapshots_take_a_small_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving takes 10 seconds here: the next one is due 500 seconds later."""
    now = [0.0]
    monkeypatch.setattr(snapshots, "monotonic", lambda: now[0])
    kept, saved = snapshots.Snapshots(tmp_path / "a.state"), []

    def state() -> dict[str, Any]:
        saved.append(now[0])
        now[0] += 10
        return {}

    for second in range(0, 1200, 10):
        now[0] = max(now[0], float(second))
        kept.offer(second, state)
    assert saved == [60.0, 570.0, 1080.0]
