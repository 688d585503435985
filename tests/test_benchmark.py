"""`vosbench benchmark` as a user meets it: the record's fields, going on, what is redone when, the leaderboard."""

import json
import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vosbench.video.images import read_label_map, write_label_map

Command = Callable[..., Any]
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "name=untrained"]
FIELDS = {
    *("schema", "method", "supervision", "training_data", "parameters", "checkpoint", "dataset", "split", "protocol"),
    *("resolution", "frames", "scores", "objects", "speed", "provenance"),
    *("algorithm", "subset", "inference", "propagation", "remarks", "training"),
}
SCORES = {"J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"}
SPEED = {
    *("device", "precision", "size", "fps", "latency_ms", "fps_sequence_mean", "peak_memory_mb", "peak_memory_kind"),
    *("warmup", "timed"),
}
PROVENANCE = {"command", "overrides", "commit", "commits", "versions", "seed", "hashes", "time"}


def on(davis: Path, *overrides: str) -> list[str]:
    return ["benchmark", "dataset=davis2017", f"dataset.root={davis}", "device=cpu", "workers=0", *overrides]


def record_of(run: str, name: str = "davis2017-val-davis") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("runs", run, "results", f"{name}.json").read_text())
    return found


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


def test_records_and_a_leaderboard_of_them(command: Command, davis: Path) -> None:
    for method in (["method=copy_first"], ["method=flow_warp"], MAMP):
        done = command(*on(davis, *method))
        assert done.status == 0, done.err
        assert "percent, mean over 3 objects" in done.out
    record = record_of("mamp_small/untrained")
    assert set(record) == FIELDS
    assert (record["method"], record["supervision"], record["checkpoint"]) == (
        "mamp_small",
        "self-supervised",
        "untrained",
    )
    assert (record["dataset"], record["split"], record["protocol"]) == ("davis2017", "val", "davis")
    assert (record["resolution"], record["frames"], record["training_data"]) == ("480p", "all", None)
    assert (record["algorithm"], record["subset"], record["inference"], record["remarks"]) == ("mamp", None, None, [])
    assert record["provenance"]["command"].startswith("vosbench benchmark dataset=davis2017")
    assert record["parameters"] > 1000
    assert set(record["scores"]) == SCORES
    assert set(record["objects"]) == {"a_1", "b_1", "c_1"}
    assert all(math.isfinite(number) for number in numbers(record))
    speed = record["speed"]
    assert set(speed) == SPEED
    assert (speed["precision"], speed["size"], speed["peak_memory_kind"]) == ("32-true", "48x64", "rss")
    assert speed["device"].startswith("cpu")
    assert 0 < speed["latency_ms"]["p50"] <= speed["latency_ms"]["p95"]
    assert 0 < 1000 / speed["latency_ms"]["p95"] <= speed["fps"] * 1.5
    assert speed["fps_sequence_mean"] > 0
    assert 50 < speed["peak_memory_mb"] < 100_000
    assert set(record["provenance"]) == PROVENANCE
    assert record["provenance"]["overrides"][-1] == "name=untrained"
    assert record_of("copy_first/default")["checkpoint"] is None
    assert record_of("flow_warp/default")["scores"]["J&F-Mean"] > record_of("copy_first/default")["scores"]["J&F-Mean"]

    board = command("leaderboard", "resamples=100", "name=all")
    assert board.status == 0, board.err
    table = Path("runs/leaderboard/all/leaderboard.md").read_text()
    assert all(method in table for method in ("copy_first", "flow_warp", "mamp_small", "untrained"))


def test_a_benchmark_goes_on_with_the_timings_it_has(command: Command, davis: Path) -> None:
    settings = ["method=copy_first", "name=one"]
    folder = Path("runs/copy_first/one/predictions/davis2017-val/.records")
    broken = davis / "JPEGImages/480p/c/00003.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:400] + bytes(len(content) - 400))
    command(*on(davis, *settings)).error(1, str(broken))
    before = {path.name: json.loads(path.read_text())["latency_ms"] for path in folder.glob("*.json")}
    assert {name: len(latencies) for name, latencies in before.items()} == {"a.json": 5, "b.json": 4}
    broken.write_bytes(content)
    assert command(*on(davis, *settings)).status == 0
    after = {path.name: json.loads(path.read_text())["latency_ms"] for path in folder.glob("*.json")}
    assert {name: after[name] for name in before} == before
    total = [latency for latencies in after.values() for latency in latencies]
    assert record_of("copy_first/one")["speed"]["fps"] == pytest.approx(1000 * len(total) / sum(total))


def test_a_record_is_rewritten_only_when_something_changed(command: Command, davis: Path) -> None:
    settings = ["method=copy_first", "name=one"]
    assert command(*on(davis, *settings)).status == 0
    path = Path("runs/copy_first/one/results/davis2017-val-davis.json")
    before = path.read_bytes()
    again = command(*on(davis, *settings))
    assert "nothing to do" in again.out
    assert path.read_bytes() == before
    annotation = davis / "Annotations/480p/a/00003.png"
    annotation.write_bytes((davis / "Annotations/480p/a/00002.png").read_bytes())
    command(*on(davis, *settings)).error(1, "annotations changed", str(path), "overwrite=true")
    assert path.read_bytes() == before
    assert command(*on(davis, *settings, "overwrite=true")).status == 0
    assert record_of("copy_first/one")["objects"]["a_1"] != json.loads(before)["objects"]["a_1"]


def test_restricted_sets(command: Command, davis: Path) -> None:
    settings = ["method=copy_first", "dataset.max_frames=4", "dataset.sequences=[b,c]"]
    assert command(*on(davis, *settings, "name=one")).status == 0
    assert set(record_of("copy_first/one")["objects"]) == {"b_1", "c_1"}
    assert record_of("copy_first/one")["subset"] == {"videos": 2, "of": 3, "max_frames": 4}
    short = command(*on(davis, "method=copy_first", "dataset.max_frames=2", "name=two"))
    short.error(1, "first and last are not scored")
    assert not Path("runs/copy_first/two/results").exists()


def test_objects_that_start_late_are_scored_where_the_protocol_knows_them(command: Command, davis: Path) -> None:
    first = davis / "Annotations/480p/b/00000.png"
    swapped = {path: np.array([0, 2, 1], np.uint8)[read_label_map(path)] for path in sorted(first.parent.iterdir())}
    for path, labels in swapped.items():  # object 2 is there from the start, 1 comes late
        write_label_map(path, labels)
    settings = ["method=copy_first", "dataset.sequences=[b]"]
    scores = {}
    for late in ("false", "true"):
        assert command(*on(davis, *settings, f"dataset.late_objects={late}", f"name=late-{late}")).status == 0
        scores[late] = record_of(f"copy_first/late-{late}")["objects"]
    assert scores["true"]["b_2"] == scores["false"]["b_2"]
    assert scores["true"]["b_1"]["J-Mean"] > scores["false"]["b_1"]["J-Mean"]


def test_it_waits_for_other_processes_and_takes_over_when_they_die(
    command: Command, davis: Path, holding: Callable[..., subprocess.Popen[str]]
) -> None:
    records = Path("runs/copy_first/default/predictions/davis2017-val/.records")
    other = holding(records / "b.lock")

    def end_other() -> None:
        while not (records / "c.json").exists():
            time.sleep(0.05)
        time.sleep(0.2)
        other.kill()

    ending = threading.Thread(target=end_other)
    ending.start()
    done = command(*on(davis, "method=copy_first"))
    ending.join()
    assert done.status == 0, done.err
    assert f"waiting for b ({socket.gethostname()} process {other.pid})" in done.out
    assert set(record_of("copy_first/default")["objects"]) == {"a_1", "b_1", "c_1"}


def test_one_frame_has_no_speed_and_a_record_all_the_same(command: Command, davis: Path) -> None:
    settings = ["method=copy_first", "dataset.max_frames=1", "protocol=davis-unsupervised"]
    done = command(*on(davis, *settings))
    assert done.status == 0, done.err
    speed = record_of("copy_first/default", "davis2017-val-davis-unsupervised")["speed"]
    assert (speed["fps"], speed["fps_sequence_mean"], speed["latency_ms"]) == (None, None, {"p50": None, "p95": None})
    assert command("leaderboard", "resamples=50", "name=all").status == 0
    board = Path("runs/leaderboard/all/leaderboard.md").read_text()
    assert "all videos, at most 1 frame" in board
    assert "FPS" not in board


def test_another_inference_size_stands_in_the_record_and_above_the_scores(command: Command, davis: Path) -> None:
    done = command(*on(davis, *MAMP, "inference.short_side=32", "inference.subsample=2"))
    assert done.status == 0, done.err
    assert record_of("mamp_small/untrained")["inference"] == "short side 32, subsampled by 2"
    assert "seen at short side 32, subsampled by 2" in " ".join(done.out.split())


@pytest.mark.parametrize("verb", ["benchmark", "predict"])
def test_random_weights_are_said_before_work_begins(command: Command, davis: Path, verb: str) -> None:
    settings = [verb, "dataset=davis2017", f"dataset.root={davis}", "dataset.sequences=[a]", "device=cpu"]
    said = command(*settings, *MAMP).out
    assert said.startswith("untrained: method=mamp_small ")
    assert " has random weights (checkpoint=none is its default)" in said
    assert "untrained: " not in command(*settings, *MAMP, "checkpoint=none").out.replace("/untrained/", "")
    assert "untrained: " not in command(*settings, "method=copy_first").out


def test_videos_too_short_to_be_scored_are_an_error_before_work_begins(command: Command, davis: Path) -> None:
    done = command(*on(davis, "method=copy_first", "dataset.max_frames=1", "dataset.sequences=[a]"))
    done.error(1, "error: a: 1 annotated frame(s), and first and last are not scored: leave it out")
    done = command(*on(davis, "method=copy_first", "dataset.max_frames=2"))
    done.error(1, "3 videos of davis2017 val cannot be scored", "c: 2 annotated frame(s)")
    assert not list(Path("runs").rglob("*.png"))


def test_one_frame_is_scored_where_the_protocol_allows_it(command: Command, davis: Path) -> None:
    words = ("method=copy_first", "dataset.max_frames=1", "protocol=davis-unsupervised")
    done = command(*on(davis, *words))
    assert done.status == 0, done.err
    record = record_of("copy_first/default", "davis2017-val-davis-unsupervised")
    assert record["scores"]["J&F-Mean"] == 1
    assert record["speed"]["fps"] is None
    assert command("leaderboard").status == 0


def test_generated_videos_too_short_to_be_scored(command: Command) -> None:
    words = ("benchmark", "method=copy_first", "dataset=collage", "dataset.videos=1", "dataset.length=2", "workers=0")
    command(*words, "device=cpu").error(1, "2 annotated frame(s), and first and last are not scored")
