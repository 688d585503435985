"""average=ema: validation and checkpoints have the moving average, and training goes on from the weights themselves."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vosbench.training.averaging import Average
from vosbench.util.errors import UserError

TINY = [
    *("train", "data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.validation.videos=1", "data.validation.length=4"),
    *("data.validation.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "trainer.accelerator=cpu"),
    *("trainer.devices=1", "trainer.log_every_n_steps=1", "trainer.val_check_interval=1"),
]
MAMP = ["method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8"]
Command = Callable[..., Any]
NOTE = '''
"""A callback that keeps the weights that validation sees."""

import torch
from lightning.pytorch import Callback


class Note(Callback):
    def on_validation_batch_start(self, trainer, engine, *_):
        torch.save(next(engine.parameters()).detach().clone(), f"step{trainer.global_step}.pt")
'''
States = dict[str, dict[str, Tensor]]


def trained(command: Command, name: str, steps: int, *more: str) -> States:
    done = command(*TINY, *MAMP, f"name={name}", f"trainer.max_steps={steps}", *more)
    assert done.status == 0, done.err
    content: States = torch.load(Path("runs/mamp_small", name, "checkpoints/last.ckpt"), weights_only=True)
    return content


def test_checkpoints_have_the_average_and_training_goes_on_from_the_weights(command: Command) -> None:
    averaging = ["average=ema", "callbacks.average.decay=0.8"]
    # Each of these goes on from where the one before ended, so the weights of every step are known.
    ended = [trained(command, "ended", steps, *averaging) for steps in (1, 2, 3, 4)]
    for key, average in ended[-1]["state_dict"].items():
        if average.is_floating_point():  # else batch normalisation counts batches, and nothing reads it
            weights = [each["current_model_state"][key] for each in ended]
            torch.testing.assert_close(average, reduce(lambda mean, next_: mean.lerp(next_, 0.2), weights))
    whole, plain = trained(command, "whole", 4, *averaging), trained(command, "plain", 4)
    for key, value in plain["state_dict"].items():
        assert torch.equal(value, whole["current_model_state"][key]), "averaging changed the training"
        assert torch.equal(whole["state_dict"][key], ended[-1]["state_dict"][key])


def test_validation_scores_the_average(command: Command, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/noting.py").write_text(NOTE)
    kept = ["average=ema", "callbacks.average.decay=0.999999"]  # the average stays at the weights of the first step
    noting = ["+callbacks.note={_target_:noting.Note}", "--config-dir", "own"]
    trained(command, "kept", 3, *kept, "optimizer.lr=0.1", *noting)
    found = [torch.load(f"step{step}.pt") for step in (1, 2, 3)]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[2], found[0], rtol=0, atol=1e-5)
    content = trained(command, "kept", 3, *kept, "optimizer.lr=0.1", *noting)
    weights = next(iter(content["current_model_state"].values()))
    assert (weights - found[0]).abs().max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mamp", "mask_embedding_small", "munet_small"])
def test_every_method_can_be_averaged(command: Command, method: str) -> None:
    recipe = ["data=munet_collage"] if method == "munet_small" else []
    done = command(*TINY, f"method={method}", *recipe, "average=ema", "trainer.max_steps=2", "data.clips.size=64")
    assert done.status == 0, done.err


def test_a_decay_that_is_no_share_is_refused() -> None:
    for decay in (-0.1, 1.0):
        with pytest.raises(UserError, match=r"callbacks\.average\.decay=.*: give 0 or more, and less than 1"):
            Average(decay)
