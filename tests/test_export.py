"""Exported weights: small, with a card, and the same method when loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open

from vosbench.evaluation.results.records import Record, write
from vosbench.methods.mamp.method import MAMP
from vosbench.nn.optical_flow import NoFlow
from vosbench.tasks import export
from vosbench.util.errors import UserError
from vosbench.util.files import content_digest
from vosbench.weights.loading import restore


def options(tmp_path: Path, checkpoint: str, **changes: object) -> export.Options:
    settings = {
        "method": {
            "_target_": "vosbench.methods.mamp.method.MAMP",
            "flow": {"_target_": "vosbench.nn.optical_flow.NoFlow"},
            "widths": [8, 8, 8, 8],
            "channels": 8,
        },
        "memory": {"_target_": "vosbench.inference.memory.FrameMemory"},
        "inference": {"_target_": "vosbench.inference.resizing.ShortSide"},
        "choice": "method=tiny",
        "checkpoint": checkpoint,
        "dtype": "float16",
        "overwrite": False,
        "output": str(tmp_path / "tiny.safetensors"),
        "record": None,
        "licence": "CC BY-NC 4.0",
        "notes": "A network for a test.",
        "use": None,
        "limits": "It knows nothing.",
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
    assert "| method | `mamp` (`method=tiny`) |" in card
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


def saved(path: Path, state: dict[str, torch.Tensor]) -> str:
    content = {"state_dict": {f"method.{key}": value for key, value in state.items()}, "vosbench": {"method": "mamp"}}
    torch.save(content, path)
    return str(path)


def small() -> MAMP:
    return MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    state = small().state_dict()
    first, second = list(state)[:2]
    state[first].view(-1)[:3] = value
    state[second].view(-1)[0] = value
    with pytest.raises(UserError, match=rf"diverged\.ckpt has weights .* \(3 in {first}, and in 1 more\)"):
        export.run(options(tmp_path, saved(tmp_path / "diverged.ckpt", state)))
    assert list(tmp_path.iterdir()) == [tmp_path / "diverged.ckpt"]


def test_scores_that_the_file_does_not_give_are_refused(tmp_path: Path) -> None:
    """A first layer of weights that float16 takes for 0, behind a normalisation that makes up for their size."""
    method = small()
    state = method.state_dict()
    state["encoder.0.0.weight"] *= 1e-9
    state["encoder.0.1.running_var"].zero_()
    state["encoder.0.1.weight"].fill_(3e6)
    path = saved(tmp_path / "tiny.ckpt", state)
    with pytest.raises(UserError, match=r"scores of checkpoint .*tiny\.ckpt change by .* in float16, .* dtype=float32"):
        export.run(options(tmp_path, path))
    assert list(tmp_path.iterdir()) == [Path(path)]
    export.run(options(tmp_path, path, dtype="float32"))
    loaded = small()
    restore(loaded, str(tmp_path / "tiny.safetensors"), seed=0)
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert "differ from those of the checkpoint by 0 on average and by 0 at most" in (tmp_path / "tiny.md").read_text()


def test_the_card_says_all_that_is_known(tmp_path: Path, trained: tuple[MAMP, Path]) -> None:
    _, path = trained
    content = torch.load(path, weights_only=True)
    run = {"seed": 0, "recipe": "0", "overrides": ["method=mamp", "name=a b"], "steps": 7, "max_steps": 7}
    run |= {"device": "cpu"}
    content["vosbench"] |= {"training": {**run, "earlier": ["vosbench train x=y"], "hours": 1.5, "earlier_hours": 0.75}}
    torch.save(content, path)
    record: dict[str, Any] = {"method": "mamp", "dataset": "toys", "split": "val", "resolution": "480p"}
    record |= {"protocol": "davis", "frames": "all"}
    objects: dict[str, dict[str, Any]] = {
        f"{name}_1": {"J-Mean": x, "F-Mean": x} for name, x in [("a", 0.2), ("b", 0.8)]
    }
    checkpoint = {"name": path.name, "sha256": content_digest(path)}
    scores, provenance = {"J&F-Mean": 0.5, "J-Recall": 1.0}, {"command": "vosbench benchmark"}
    whole = Record(**record, objects=objects, checkpoint=checkpoint, scores=scores, provenance=provenance)
    write(whole, {}, tmp_path / "record.json")
    ranked_by_g = {"G": 0.25}  # by a protocol without a name with "Mean" in it, on a single video
    single = {**record, "dataset": "server", "objects": {}, "protocol": "youtube_vos"}
    write(Record(**single, checkpoint=checkpoint, scores=ranked_by_g), {}, tmp_path / "server.json")
    export.run(options(tmp_path, str(path), record=[str(tmp_path / "record.json"), str(tmp_path / "server.json")]))
    text = (tmp_path / "tiny.md").read_text()
    assert "```\nvosbench train x=y\nvosbench train method=mamp 'name=a b'\n```" in text
    assert "| hours | 2.2 |" in text
    described = "(percent, with 95 % by bootstrap; toys val, 480p, protocol davis)"
    assert f"J&F-Mean 50.0 [20.0, 80.0] {described}, by:\n\n```\nvosbench benchmark\n```" in text
    assert "G 25.0 (percent; server val, 480p, protocol youtube_vos), by:\n\n```\nunknown\n```" in text
    assert "J-Recall" not in text
    assert f"## Intended use\n\n{export.USE}\n\n## Limits\n\nIt knows nothing.\n" in text
    assert "vosbench predict method=tiny checkpoint=tiny.safetensors " in text
    assert "license: cc-by-nc-4.0" in ModelCard(text).data.to_yaml()
    other = {**checkpoint, "sha256": "0"}
    write(Record(**{**single, "checkpoint": other}, scores=scores), {}, tmp_path / "other.json")
    with pytest.raises(UserError, match=r"other\.json is of other weights than checkpoint=best\.ckpt"):
        export.run(options(tmp_path, str(path), record=str(tmp_path / "other.json"), overwrite=True))
    with pytest.raises(UserError, match=r"record=nowhere\.json does not exist: give a result record"):
        export.run(options(tmp_path, str(path), record="nowhere.json", overwrite=True))
