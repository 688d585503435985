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


def test_what_float16_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    method = MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8)
    state = method.state_dict()
    variances = [key for key in state if key.endswith("running_var")]
    state[variances[0]][:2] = torch.tensor([1e5, 1.0])  # infinite in float16
    state[variances[1]][:2] = torch.tensor([1e-8, 1.0])  # nothing there
    weight = next(key for key, _ in method.named_parameters())
    with torch.no_grad():
        state[weight].view(-1)[0] = 1e-9  # may vanish: it is of no consequence
    method.load_state_dict(state)
    path = tmp_path / "best.ckpt"
    content = {"state_dict": {f"method.{key}": value for key, value in state.items()}, "vosbench": {"method": "mamp"}}
    torch.save(content, path)
    export.run(options(tmp_path, str(path)))
    with safe_open(tmp_path / "tiny.safetensors", "pt") as file:
        kinds = {key: file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert kinds[variances[0]] == kinds[variances[1]] == torch.float32
    assert kinds[variances[2]] == kinds[weight] == torch.float16
    loaded = MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8)
    restore(loaded, str(tmp_path / "tiny.safetensors"), seed=0)
    for key in variances:
        torch.testing.assert_close(loaded.state_dict()[key], state[key], atol=0, rtol=1e-3)


def test_exported_weights_say_how_the_checkpoint_learned(tmp_path: Path, trained: tuple[MAMP, Path]) -> None:
    _, path = trained
    content = torch.load(path, weights_only=True)
    content["vosbench"]["supervision"] = "supervised"
    torch.save(content, path)
    export.run(options(tmp_path, str(path)))
    assert "| supervision | supervised |" in (tmp_path / "tiny.md").read_text()
    checkpoint = restore(MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8), str(tmp_path / "tiny.safetensors"), seed=0)
    assert checkpoint.supervision == "supervised"
