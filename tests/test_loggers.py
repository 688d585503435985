"""Loggers beside metrics.csv: one run each, however often a training is started, and what is in it."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vosbench.training import progress as training_progress
from vosbench.training.loggers import Loggers
from vosbench.util import progress

TINY = [
    *("method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "data=collage"),
    *("data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation.videos=1", "data.validation.length=4"),
    *("data.validation.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.workers=0"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.log_every_n_steps=1", "trainer.val_check_interval=2"),
]
RUN = Path("runs/mamp_small/one")
Command = Callable[..., Any]


def train(command: Command, steps: int, *settings: str) -> Any:
    return command("train", *TINY, "name=one", f"trainer.max_steps={steps}", *settings)


def wandb_runs() -> list[tuple[str, bytes]]:
    """The id and the content of each run that Weights & Biases wrote, in order of time."""
    found = sorted((RUN / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    return [(path.stem.removeprefix("run-"), path.read_bytes()) for path in found]


def events() -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(RUN / "tensorboard"), {"images": 0, "scalars": 0}).Reload()


def mlflow_runs(client: Any) -> list[Any]:
    found = client.get_experiment_by_name("vosbench")
    return list(client.search_runs([found.experiment_id], order_by=["start_time"]))


def mlflow_client() -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"file:{Path('runs/mlflow').absolute()}")


def steps_of(history: Any) -> list[int]:
    return [each.step for each in history]


@pytest.fixture
def every(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings that choose all loggers. The path is absolute because MLflow remembers paths as they are typed."""
    for package in ("wandb", "tensorboard", "mlflow"):
        pytest.importorskip(package)
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VOSBENCH_SWEEP", "train-of-tests")
    return ["logger=[wandb,tensorboard,mlflow]", "logger.offline=true", f"runs={tmp_path}/runs"]


@pytest.mark.slow
def test_each_writes_one_run_that_a_repeated_training_goes_on_with(command: Command, every: list[str]) -> None:
    for steps in (2, 4):
        done = train(command, steps, *every)
        assert done.status == 0, done.err
    assert "trained 4 steps; best val/J&F 0." in done.out

    (first, content), (second, _) = wandb_runs()
    assert first == second == json.loads((RUN / "loggers.json").read_text())["wandb"]
    for part in (b"loss", b"lr", b"clips_per_second", b"val/J&F", b"media/images/val", b"mamp_small/one"):
        assert part in content, part
    for part in (b"train-of-tests", b"commit", b"batch_size"):  # the sweep, and the configuration
        assert part in content, part

    board = events()
    assert steps_of(board.Scalars("loss")) == steps_of(board.Scalars("clips_per_second")) == [0, 1, 2, 3]
    assert steps_of(board.Scalars("val/J&F")) == steps_of(board.Images("val/val_00")) == [1, 3]
    assert "commit: " in (RUN / "tensorboard/hparams.yaml").read_text()

    client = mlflow_client()
    (run,) = mlflow_runs(client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mamp_small/one")
    assert run.data.tags["sweep"] == "train-of-tests"
    assert run.data.params["data/batch_size"] == "2"
    assert run.data.params["commit"]
    assert steps_of(client.get_metric_history(run.info.run_id, "loss")) == [0, 1, 2, 3]
    assert steps_of(client.get_metric_history(run.info.run_id, "val/JF")) == [1, 3]
    assert run.data.metrics["clips_per_second"] > 0
    names = [Path(each.path).name for each in client.list_artifacts(run.info.run_id, "val/val_00")]
    assert names == ["00000001.png", "00000003.png"]

    assert train(command, 2, *every, "overwrite=true").status == 0
    assert wandb_runs()[-1][0] != first
    assert steps_of(events().Scalars("loss")) == [0, 1]
    assert len(mlflow_runs(client)) == 2


def test_runs_end_after_an_error_and_are_taken_up_though_nothing_was_saved(command: Command, every: list[str]) -> None:
    import wandb

    broken = train(command, 4, *every, "optimizer.lr=1e30", "data.validation=null")
    assert broken.status == 1
    assert broken.err.splitlines()[-1].startswith("vosbench: error: the loss is nan at step ")
    assert wandb.run is None  # else it would be shown as running
    (run,) = mlflow_runs(mlflow_client())
    assert run.info.status == "FAILED"
    assert not (RUN / "checkpoints").exists()
    assert train(command, 1, *every, "data.validation=null").status == 0
    assert len({id_ for id_, _ in wandb_runs()}) == 1
    assert steps_of(events().Scalars("loss")) == [0]
    (run,) = mlflow_runs(mlflow_client())
    assert run.info.status == "FINISHED"


def test_metrics_csv_is_the_same_beside_any_logger(command: Command) -> None:
    """What differs between two runs, such as speed, is not in it."""
    pytest.importorskip("tensorboard")
    found = []
    for logger in ("logger=csv", "~logger", "logger=tensorboard"):
        assert train(command, 2, logger, "overwrite=true").status == 0
        found.append((RUN / "metrics.csv").read_text())
    assert found[0] == found[1] == found[2]
    assert found[0].splitlines()[0] == "step,train/reconstruction,loss,lr,val/J,val/F,val/J&F"
    assert not (RUN / "loggers.json").exists()


def test_a_logger_of_ones_own(command: Command) -> None:
    folder = Path("own/logger")
    folder.mkdir(parents=True)
    target = "_target_: lightning.pytorch.loggers.CSVLogger"
    (folder / "single.yaml").write_text(f"{target}\nsave_dir: ${{run}}/single\n")
    (folder / "named.yaml").write_text(f"named: {{{target}, save_dir: '${{run}}/named'}}\n")
    assert train(command, 1, "--config-dir", "own", "logger=single").status == 0
    assert train(command, 2, "--config-dir", "own", "logger=[named,csv]").status == 0
    for name in ("single", "named"):
        (written,) = (RUN / name).rglob("metrics.csv")
        assert "clips_per_second" in written.read_text()
    assert [line.split(",")[0] for line in (RUN / "metrics.csv").read_text().splitlines()] == ["step", "0", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("interval", [1, 3])
def test_a_training_that_is_extended_logs_as_a_long_one(command: Command, interval: int) -> None:
    """Its last step was validated. Lightning then counts the next steps one too high."""
    logged = f"trainer.log_every_n_steps={interval}"
    for steps in (4, 8):
        assert train(command, steps, logged).status == 0
    extended = (RUN / "metrics.csv").read_bytes()
    assert train(command, 8, logged, "overwrite=true").status == 0
    assert (RUN / "metrics.csv").read_bytes() == extended
    assert [row.split(",")[0] for row in extended.decode().splitlines()[1:]] == (
        ["1", "2", "3", "5", "7"] if interval == 3 else [str(step) for step in range(8)]
    )


@pytest.mark.parametrize(
    ("name", "module", "flags"),
    [
        ("wandb", "lightning.pytorch.loggers.wandb", ["_WANDB_AVAILABLE"]),
        ("tensorboard", "lightning.fabric.loggers.tensorboard", ["_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"]),
        ("mlflow", "lightning.pytorch.loggers.mlflow", ["_MLFLOW_AVAILABLE"]),
    ],
)
def test_a_package_that_is_missing(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, module: str, flags: list[str]
) -> None:
    for flag in flags:
        monkeypatch.setattr(f"{module}.{flag}", False)
    train(command, 1, f"logger={name}").error(1, f"logger={name} needs a package: pip install 'vosbench[{name}]'")


def test_a_server_that_does_not_answer(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    train(command, 1, "logger=mlflow").error(1, "logger=mlflow: ", "start its server", "logger.mlflow.tracking_uri=")


def test_a_server_that_is_lost(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")

    def lost(*_: Any, **__: Any) -> None:
        raise mlflow.exceptions.MlflowException("API request to http://localhost failed")

    with monkeypatch.context() as broken:
        broken.setattr(mlflow.MlflowClient, "log_batch", lost)
        done = train(command, 2, "logger=mlflow")
    done.error(1, "logger=mlflow: API request to http://localhost failed: ", "start its server")
    assert train(command, 2, "logger=mlflow").status == 0


def test_trainings_that_begin_at_once_share_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    known = mlflow.MlflowClient.get_experiment_by_name

    def slowly(client: Any, name: str) -> Any:
        found = known(client, name)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", slowly)
    target = "lightning.pytorch.loggers.MLFlowLogger"
    settings = {"mlflow": {"_target_": target, "experiment_name": "one", "save_dir": str(tmp_path / "mlflow")}}
    runs = [tmp_path / name for name in "abc"]
    for run in runs:
        run.mkdir()
    each = [Loggers(settings, run, done=0, anew=False) for run in runs]
    with ThreadPoolExecutor(len(each)) as pool:
        list(pool.map(lambda loggers: loggers.start({}), each))
    client = mlflow.MlflowClient(f"file:{tmp_path}/mlflow")
    assert [found.name for found in client.search_experiments()].count("one") == 1
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["logger=[csv,nosuch]"], "unknown logger 'nosuch'; there is: csv, mlflow, tensorboard, wandb"),
        (["logger=wandb", "logger.offline=maybe"], "logger.offline=maybe: give true or false"),
        (["logger=tensorboard", "logger.project=x"], "unknown key 'logger.project'; there is: logger.tensorboard"),
    ],
)
def test_wrong_settings(command: Command, typed: list[str], line: str) -> None:
    train(command, 1, *typed).error(2, line)
    assert not Path("runs").exists()


def test_progress_is_in_the_log(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line every minute, here with every step."""
    for module in (progress, training_progress):
        monkeypatch.setattr(module, "PATIENCE", 0.0)
    assert train(command, 3, "trainer.log_every_n_steps=100").status == 0
    lines = [line for line in (RUN / "run.log").read_text().splitlines() if " - step " in line]
    assert [line.split(" - ")[1].split(", ")[0] for line in lines] == [f"step {step} of 3" for step in (1, 2, 3)]
    assert all("loss " in line and "clips a second" in line and line.endswith(" s left") for line in lines)

    source = ["dataset=collage", "dataset.videos=1", "dataset.length=4", "dataset.size=[48,64]"]
    done = command("predict", "method=copy_first", *source, "name=two")
    assert done.status == 0, done.err
    told = [line for line in Path("runs/copy_first/two/run.log").read_text().splitlines() if " of 4 frames" in line]
    assert [line.split("val_00: ")[1].split(",")[0] for line in told] == [f"{n} of 4 frames" for n in (1, 2, 3, 4)]
