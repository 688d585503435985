"""What makes two results the same: nothing is taken for today's that other code, settings, videos or weights made."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
import torch
from torchvision.models.optical_flow import raft_small

from vosbench.cli import configuration
from vosbench.nn.optical_flow import Raft
from vosbench.runs.code import sources
from vosbench.runs.identity import EARLIER, Fingerprint, data_digest
from vosbench.settings.options import Content, Counted, Placed, Role, Where
from vosbench.settings.recipe import role_of, settings

Command = Callable[..., Any]

METHOD = """
from vosbench.methods.copy_first.method import CopyFirst
from shift_of_test import SHIFT

class Shifted(CopyFirst):
    name = "shifted"

    def segment(self, query, context):
        return context.previous.value.masks.roll(SHIFT, 3)
"""
RECIPE = """
# @package _global_
defaults: [{override /memory: previous}, {override /flow: none}]
method: {_target_: shifted_of_test.Shifted}
optimizer: {}
schedule: {}
callbacks: {}
weights: none
"""


class Inner:
    def __init__(self, root: Where[str], length: int, file: Content[str | None] = None) -> None: ...


def made(inner: dict[str, Any], device: Where[str], dataset: Placed[dict[str, Any]], trainer: Any) -> None: ...


def test_settings_are_what_declarations_say(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_text("one")
    inner = {"_target_": f"{__name__}.Inner", "root": "here", "length": 3, "file": str(file)}
    values = {"inner": inner, "device": "cpu", "dataset": {"split": "val"}, "seed": 0, "list": [1, None, True]}
    found = settings(values, made)
    assert set(found) == {"inner._target_", "inner.length", "inner.file", "seed", "list"}
    assert found["list"] == "[1,null,true]"
    elsewhere = tmp_path / "other.pth"
    elsewhere.write_text("one")
    assert settings({**values, "inner": {**inner, "file": str(elsewhere), "root": "there"}}, made) == found
    elsewhere.write_text("two")
    assert settings({**values, "inner": {**inner, "file": str(elsewhere)}}, made) != found
    assert role_of("inner.root", values, made) is Role.WHERE
    assert role_of("inner.length", values, made) is Role.RESULT
    assert role_of("dataset.split", values, made) is Role.PLACED
    assert role_of("what.ever", values, made) is Role.RESULT


def test_a_declaration_below_another_wins() -> None:
    class Trainer(TypedDict, total=False):
        precision: Counted[str]

    declared = {"trainer": Where[Trainer]}
    values = {"trainer": {"precision": "32-true", "devices": 2}}
    assert settings(values, declared) == {"trainer.precision": "32-true"}
    assert role_of("trainer", values, declared) is Role.WHERE


def test_differences_name_settings_with_both_values() -> None:
    one = Fingerprint({"a": "1", "b": "1"}, {"data.batch_size": "2", "seed": "0"}, "x", "y")
    other = Fingerprint({"a": "1", "b": "2"}, {"data.batch_size": "4", "lr": "1"}, "x", "z")
    assert other.differences(one) == [
        "data.batch_size 2 → 4",
        "lr not set → 1",
        "seed 0 → not set",
        "the weights",
        "the code of b",
    ]
    assert not other.differs_only_in_code(one)
    assert Fingerprint({"a": "2"}, one.recipe, "x", "y").differs_only_in_code(one)
    assert one.differences(Fingerprint()) == [EARLIER]
    assert Fingerprint.read(one.asdict()) == one
    assert Fingerprint.read({"method": "an older one"}) == Fingerprint.read(None) == Fingerprint()


def test_data_that_an_earlier_version_told_by_file_sizes_counts_as_other_code() -> None:
    """Whether it is the same cannot be known: who wants to keep such results says so."""
    old, new = Fingerprint(data="0123456789abcdef"), Fingerprint(data=data_digest("frames"))
    assert new.differs_only_in_code(old)
    assert new.differences(old) == ["the data, which it told by names and sizes of files"]
    for made in (Fingerprint(data=data_digest("other frames")), Fingerprint(data="0123456789abcdef", weights="1")):
        assert not new.differs_only_in_code(made)
    assert not old.differs_only_in_code(new)


def test_code_is_followed_through_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_of_test.py").write_text(
        "import torch\nfrom two_of_test import X\nfrom vosbench.ops import align\n"
    )
    (tmp_path / "two_of_test.py").write_text("X = 1\n")
    (tmp_path / "not_imported_of_test.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = sources(["one_of_test"])
    assert {"one_of_test", "two_of_test", "vosbench.ops.align"} <= set(before)
    assert not {name for name in before if name.startswith(("torch", "not_imported", "vosbench.util", "vosbench.cli"))}
    (tmp_path / "two_of_test.py").write_text("X = 2\n")
    after = sources(["one_of_test"])
    assert [name for name in before if before[name] != after[name]] == ["two_of_test"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A method of one's own, in two files."""
    folder = tmp_path / "mine"
    (folder / "method").mkdir(parents=True)
    (folder / "shifted_of_test.py").write_text(METHOD)
    (folder / "shift_of_test.py").write_text("SHIFT = 0\n")
    (folder / "method/shifted.yaml").write_text(RECIPE)
    return folder


def vosbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, which imports code anew."""
    command = [sys.executable, "-m", "vosbench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_code_of_libraries_is_not_followed() -> None:
    """An optimizer is torch's, and its package has thousands of files."""
    assert sources(["torch.optim.adam", "lightning.pytorch.loggers.wandb"]) == {}


@pytest.mark.slow
def test_who_edits_their_method_and_repeats_the_command_gets_the_new_score(tmp_path: Path, own: Path) -> None:
    settings = ["method=shifted", "dataset=collage", "dataset.videos=1", "dataset.max_frames=4", "workers=0"]
    command = ["benchmark", *settings, "pictures=0", "--config-dir", "mine"]
    path = tmp_path / "runs/shifted/default/results/collage-val-davis.json"
    frames = "runs/shifted/default/predictions/collage-val/val_00/*.png"
    assert vosbench(tmp_path, *command).returncode == 0
    first = json.loads(path.read_text())
    again = vosbench(tmp_path, *command)
    assert "nothing to do" in again.stdout
    (own / "shift_of_test.py").write_text("SHIFT = 40\n")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob(frames)}
    kept = vosbench(tmp_path, *command, "changed_code=keep")
    assert kept.returncode == 0, kept.stderr
    assert "made by other code" in kept.stdout + kept.stderr
    assert {file: file.stat().st_mtime_ns for file in before} == before
    record = json.loads(path.read_text())
    assert record["scores"] == first["scores"]
    assert "other code" in " ".join(record["remarks"])
    edited = vosbench(tmp_path, *command)
    assert edited.returncode == 0, edited.stderr
    assert "shift_of_test" in edited.stdout + edited.stderr, "it says what differs"
    second = json.loads(path.read_text())
    assert second["scores"]["J&F-Mean"] < first["scores"]["J&F-Mean"] - 0.1
    assert second["remarks"] == []


def test_overwrite_redoes_what_is_there(command: Command, davis: Path) -> None:
    on = ["predict", "method=copy_first", "dataset=davis2017", f"dataset.root={davis}", "name=one"]
    frames = Path("runs/copy_first/one/predictions/davis2017-val")
    assert command(*on).status == 0
    before = {file: file.stat().st_mtime_ns for file in frames.rglob("*.png")}
    assert command(*on, "overwrite=true").status == 0
    assert all(file.stat().st_mtime_ns != time for file, time in before.items())


TRAIN = ["train", "method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"]
SMALL = ["data.sources.collage.dataset.videos=1", "data.sources.collage.dataset.size=[48,64]", "data.validation=null"]
STEPS = ["data.clips.size=32", "data.batch_size=1", "trainer.accelerator=cpu", "data.workers=0"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("trainer.precision=bf16-mixed", "trainer.precision 32-true → bf16-mixed"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val null → 0.5"),
        ("data.batch_size=2", "data.batch_size 1 → 2"),
        ("data.sources.collage.dataset.seed=7", "data.sources.collage.dataset.seed 0 → 7"),
    ],
)
def test_training_goes_on_only_as_it_began(command: Command, change: str, said: str) -> None:
    begun = [*TRAIN, *SMALL, *STEPS, "name=one", "trainer.max_steps=1"]
    assert command(*begun).status == 0
    command(*begun, change, "trainer.max_steps=2").error(1, said, "name=", "overwrite=true")
    same = command(*begun, "save_every=7", "data.workers=1", "trainer.log_every_n_steps=1", "trainer.max_steps=2")
    assert same.status == 0, same.err


@pytest.mark.slow
def test_a_second_stage_sees_that_the_first_was_trained_anew(command: Command) -> None:
    first = [*TRAIN, *SMALL, *STEPS, "name=first", "trainer.max_steps=1"]
    second = [*TRAIN, *SMALL, *STEPS, "name=second", "init=runs/mamp_small/first", "trainer.max_steps=1"]
    assert command(*first).status == command(*second).status == 0
    assert "nothing to do" in command(*second).out
    assert command(*first, "seed=1", "overwrite=true").status == 0
    command(*second).error(1, "the weights", "overwrite=true")
    Path("runs/mamp_small/first").rename("elsewhere")
    assert "nothing to do" in command(*second).out, "what it began from cannot be asked any more"


def test_weights_of_a_file_count_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(raft_small().state_dict(), "one.pth")
    Path("two.pth").write_bytes(Path("one.pth").read_bytes())
    values = {"size": "small", "weights": "one.pth"}
    assert settings(values, Raft) == settings({**values, "weights": "two.pth"}, Raft)
    torch.save(raft_small().state_dict(), "two.pth")
    assert settings(values, Raft) != settings({**values, "weights": "two.pth"}, Raft)


@pytest.mark.parametrize("word", ["validation=none", "data.batch_size=3", "seed=7"])
def test_an_earlier_stage_is_found_with_the_same_data_and_validation(word: str) -> None:
    second = configuration.resolve(configuration.compose("train", ["experiment=mask_embedding/mini_full", word]))
    first = configuration.run_folder(configuration.compose("train", ["experiment=mask_embedding/mini", word]))
    assert first == Path(second["init"]).absolute()


def test_an_earlier_stage_is_found_with_another_method() -> None:
    typed = ["experiment=munet/static", "method=munet_narrow"]
    first = configuration.run_folder(configuration.compose("train", typed))
    second = configuration.resolve(configuration.compose("train", ["experiment=munet/static_davis", typed[1]]))
    assert first is not None
    assert Path(second["init"]).name == first.name != "default"


def test_a_record_lists_every_commit_that_made_its_masks(command: Command, davis: Path) -> None:
    on = ["method=copy_first", "dataset=davis2017", f"dataset.root={davis}", "name=one"]
    assert command("predict", *on).status == 0
    noted = Path("runs/copy_first/one/predictions/davis2017-val/.records/a.json")
    noted.write_text(json.dumps({**json.loads(noted.read_text()), "commit": "an earlier one"}))
    assert command("benchmark", *on, "workers=0", "pictures=0").status == 0
    record = json.loads(Path("runs/copy_first/one/results/davis2017-val-davis.json").read_text())
    assert "an earlier one" in record["provenance"]["commits"]


def test_settings_that_came_later_do_not_make_a_result_another() -> None:
    now = {"inference.kernel": "bicubic", "data.a.dataset.resized": "null", "seed": "0"}
    before = Fingerprint({"a": "1"}, {"seed": "0"}, data_digest("x"), "w")
    later = Fingerprint({"a": "2"}, now, data_digest("x"), "w")
    assert later.differs_only_in_code(before)
    assert later.differences(before) == ["the code of a"]
    changed = Fingerprint({"a": "2"}, now | {"inference.kernel": "nearest"}, data_digest("x"), "w")
    assert not changed.differs_only_in_code(before)
    assert changed.differences(before) == ["inference.kernel not set → nearest", "the code of a"]
