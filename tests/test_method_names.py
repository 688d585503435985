"""Weights know their method by its name, whatever way its class was imported from."""

from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import nn

from vosbench.nn.weight_files import read
from vosbench.weights.loading import initialise
from vosbench.weights.origin import NAMES, known_as, name_of


def test_old_import_paths_have_names() -> None:
    for path, name in NAMES.items():
        assert known_as(path) == name
    assert known_as("mamp") == "mamp"
    assert known_as(None) is None


def test_shipped_weights_know_their_method() -> None:
    for path in Path(str(resources.files("vosbench"))).glob("weights/*.safetensors"):
        _, metadata = read(path)
        assert known_as(metadata["method"]) in ("mamp", "mask_embedding", "munet")


def test_a_class_that_a_package_exports_again_is_one_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_test").mkdir()
    (tmp_path / "mine_of_test/__init__.py").write_text("from mine_of_test.net import Net as Net\n")
    (tmp_path / "mine_of_test/net.py").write_text("from torch import nn\n\n\nclass Net(nn.Linear):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_of_test  # type: ignore[import-not-found]

    net: nn.Module = mine_of_test.Net(2, 2)
    assert known_as("mine_of_test.Net") == known_as("mine_of_test.net.Net") == name_of(net)
    state = {f"method.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "vosbench": {"method": "mine_of_test.Net"}}, tmp_path / "net.ckpt")
    assert initialise(net, str(tmp_path / "net.ckpt")) == []


def test_weights_of_a_class_that_is_gone_keep_its_path() -> None:
    assert known_as("gone.Net") == "gone.Net"
