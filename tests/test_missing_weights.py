"""A method without shipped weights says whose weights ship instead, and how it is trained: both work when typed."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vosbench.weights.index import index

Command = Callable[..., Any]
TINY = [
    *("data=collage", "data.sources.collage.dataset.videos=2", "data.sources.collage.dataset.length=8"),
    *("data.sources.collage.dataset.size=[48,64]", "data.clips.size=32", "data.batch_size=2", "data.validation=null"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_steps=1"),
]
BOTH = "munet_small or method=munet_narrow"


@pytest.mark.parametrize(
    ("method", "instead", "narrow"),
    [
        ("mamp_small", "mamp", ["method.widths=[8,8,8,8]"]),
        ("mask_embedding", "mask_embedding_small", ["method.widths=[8,8]", "method.decoder_widths=[8,8,8]"]),
        ("munet", BOTH, ["method.depth=18", "method.width=8", "method.decoder_width=8"]),
    ],
)
def test_a_method_without_weights(command: Command, method: str, instead: str, narrow: list[str]) -> None:
    Path("clip").mkdir()
    for name in ("0", "1"):
        Image.new("RGB", (64, 48)).save(f"clip/{name}.png")
    Image.new("L", (64, 48), 1).save("first.png")
    clip = ["device=cpu", "input=clip", "mask=first.png"]
    said = command("predict", f"method={method}", *narrow, *clip).out
    assert f"scores say nothing of the method: take method={instead}, whose weights ship" in said
    assert all(index()[name].facts.choice == f"method={name}" for name in instead.split(" or method="))
    training = re.search(r"train it with `vosbench (train .*?)` and give the checkpoint=", said)
    assert training
    assert shlex.split(training[1])[1:3] == [f"method={method}", narrow[0]]
    trained = command(*shlex.split(training[1]), *TINY)
    assert trained.status == 0, trained.err
    found = re.search(r"checkpoint=\S+", trained.out.splitlines()[-1])
    assert found
    again = command("predict", f"method={method}", *narrow, *clip, found[0], "name=trained")
    assert again.status == 0, again.err
    assert "untrained" not in again.out


def test_a_method_of_ones_own_is_trained_from_its_own_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/method").mkdir(parents=True)
    text = "# @package _global_\ndefaults: [mamp_small]\nmethod: {widths: [8, 8, 8, 8]}\n"
    (tmp_path / "mine/method/own.yaml").write_text(text)
    tiny = ["dataset=collage", "dataset.videos=1", "dataset.max_frames=2", "device=cpu"]
    said = command("predict", "--config-dir", "mine", "method=own", *tiny).out
    assert f"`vosbench train --config-dir {tmp_path}/mine method=own`" in said
