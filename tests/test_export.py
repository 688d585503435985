"""Exported weights: small, with a card, and the same method when loaded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from vosbench.methods.mamp.method import MAMP
from vosbench.nn.optical_flow import NoFlow
from vosbench.tasks import export
from vosbench.weights.loading import restore


def options(tmp_path: Path, checkpoint: str, **changes: object) -> export.Options:
    settings = {
        "method": {
            "_target_": "vosbench.methods.mamp.method.MAMP",
            "flow": {"_target_": "vosbench.nn.optical_flow.NoFlow"},
            "widths": [8, 8, 8, 8],
            "channels": 8,
        },
        "checkpoint": checkpoint,
        "overwrite": False,
        "output": str(tmp_path / "tiny.safetensors"),
        "record": None,
        "licence": "CC BY-NC 4.0",
        "notes": "A network for a test.",
    }
    return export.Options(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def trained(tmp_path: Path) -> tuple[MAMP, Path]:
    method = MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8)
    path = tmp_path / "best.ckpt"
    metadata = {"method": "vosbench.methods.mamp.method.MAMP", "recipe": "", "training_data": ["some video"]}
    state = {f"method.{key}": value for key, value in method.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 7, "vosbench": metadata}, path)
    return method, path


def test_exported_weights_load_and_say_where_they_come_from(tmp_path: Path, trained: tuple[MAMP, Path]) -> None:
    method, path = trained
    export.run(options(tmp_path, str(path)))
    loaded = MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8)
    checkpoint = restore(loaded, str(tmp_path / "tiny.safetensors"), seed=0)
    assert checkpoint.training_data == ("some video",)
    assert checkpoint.steps == 7
    for key, value in method.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, atol=1e-3, rtol=1e-3)
    card = (tmp_path / "tiny.md").read_text()
    assert "some video" in card
    assert "| supervision | self-supervised |" in card
    assert "| method | `mamp` |" in card
    with safe_open(tmp_path / "tiny.safetensors", "pt") as file:
        metadata = json.loads(file.metadata()["vosbench"])
    assert (metadata["method"], metadata["supervision"]) == ("mamp", "self-supervised")
    assert "CC BY-NC 4.0" in card


def test_export_refuses_what_it_should_not_write(tmp_path: Path, trained: tuple[MAMP, Path]) -> None:
    _, path = trained
    with pytest.raises(ValueError, match="nothing to export"):
        export.run(options(tmp_path, "none"))
    with pytest.raises(ValueError, match="must end in"):
        export.run(options(tmp_path, str(path), output=str(tmp_path / "tiny.pt")))
    export.run(options(tmp_path, str(path)))
    with pytest.raises(ValueError, match="exists"):
        export.run(options(tmp_path, str(path)))
