"""A sweep over data sets ends with one line for each way of running a method; words that complete what was typed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vosbench.cli import sweep
from vosbench.cli.completed import completed
from vosbench.evaluation.board.across import across
from vosbench.evaluation.results import records
from vosbench.evaluation.results.records import Record

WORDS = ("method=features", "backbone=timm")


def write(runs: Path, run: str, dataset: str, protocol: str, propagation: str | None, **scores: float) -> Path:
    record = Record(
        method="features",
        dataset=dataset,
        split="val",
        protocol=protocol,
        resolution="original",
        frames="all",
        propagation=propagation,
        scores=scores,
        objects={"a_1": {"J-Mean": 0.5}},
    )
    records.write(record, {}, records.path_of(runs / run, dataset, "val", protocol))
    return runs / run


def test_results_on_several_data_sets_are_one_line(tmp_path: Path) -> None:
    joints = {"PCK@.1": 0.4, "PCK@.2": 0.71, "Found": 1.0, "PCK@.1 neck": 0.5}
    a = write(tmp_path, "a", "davis2017", "davis", "crw", **{"J&F-Mean": 0.6, "J-Mean": 0.5})
    b = write(tmp_path, "b", "vip", "vip", "crw_vip", **{"IoU-Mean": 0.39, "IoU-00": 0.9})
    c = write(tmp_path, "c", "jhmdb", "pck-crw", "crw_jhmdb", **joints)
    other = write(tmp_path, "other", "jhmdb", "pck-crw", None, **joints)
    done = {
        a: (*WORDS, "dataset=davis2017", "propagation=crw"),
        b: (*WORDS, "dataset=vip", "propagation=crw_vip"),
        c: (*WORDS, "dataset=jhmdb", "propagation=crw_jhmdb"),
        other: (*WORDS, "method.stride=8", "dataset=jhmdb"),
    }
    sheet = across(done, tmp_path)
    assert sheet is not None
    assert sheet.headers == ["method", "propagation", "davis2017 J&F", "vip IoU", "jhmdb PCK@.1", "jhmdb PCK@.2"]
    assert sheet.rows == [
        ["features", "crw, crw_vip, crw_jhmdb", "60.0", "39.0", "40.0", "71.0"],
        ["features, method.stride=8", "own", "–", "–", "40.0", "71.0"],
    ]
    assert sheet.notes == ["All: backbone=timm, method=features."]
    assert across({a: WORDS}, tmp_path) is None


def test_what_was_typed_is_completed_where_there_is_such_an_option() -> None:
    def of(*words: str) -> list[str]:
        return completed("benchmark", ["dataset=vip", "propagation=*_vip", *words])

    assert of("propagation=crw") == ["dataset=vip", "propagation=crw_vip"]
    assert of("propagation=dino") == ["dataset=vip", "propagation=dino"]
    assert of() == ["dataset=vip"]


def test_three_data_sets_with_their_protocols(command: Callable[..., Any]) -> None:
    jobs = sweep.jobs("benchmark", ["sweep=features_trio", *WORDS, "propagation=vfs,cropmae"], multirun=False) or []
    assert [[word.partition("=")[2] for word in job.words if word[0] in "dp"] for job in jobs] == [
        ["davis2017", "vfs"],
        ["davis2017", "cropmae"],
        ["vip", "vfs"],
        ["vip", "cropmae_vip"],
        ["jhmdb", "vfs_jhmdb"],
        ["jhmdb", "cropmae_jhmdb"],
    ]
    done = command("benchmark", "sweep=features_trio", *WORDS, "propagation=vfs,cropmae", "sweep.list=true")
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == 6


@pytest.mark.parametrize("name", ["dino", "crw", "vfs"])
def test_protocols_of_propagation_have_run_folders_of_their_own(name: str, run_name: Callable[..., str]) -> None:
    assert f"propagation-{name}" in run_name("benchmark", "method=features", f"propagation={name}")
