"""Damaged weights are refused, and every file is whole on the disk before it replaces another."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vosbench.nn.weight_files import digest_of, read
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.weights.index import index
from vosbench.weights.origin import Checkpoint, facts

STATE = {"a.weight": torch.arange(2048.0), "b": torch.tensor(3, dtype=torch.int64)}


def pytorch(path: Path) -> bytes:
    """Writes a checkpoint; returns bytes of its largest tensor that occur once in the file."""
    torch.save({"state_dict": {f"method.{key}": value for key, value in STATE.items()}, "vosbench": {"x": 1}}, path)
    return STATE["a.weight"][1000:2000].numpy().tobytes()


def safetensors(path: Path) -> bytes:
    half = {"a.weight": STATE["a.weight"].half(), "b": STATE["b"]}
    save_file(half, path, {"vosbench": json.dumps({"method": "mamp", "sha256": digest_of(half)})})
    return half["a.weight"][1000:2000].numpy().tobytes()


@pytest.mark.parametrize("write", [pytorch, safetensors])
@pytest.mark.parametrize("damage", ["a bit", "zeros", "cut"])
def test_damaged_weights_are_refused(tmp_path: Path, write: object, damage: str) -> None:
    path = tmp_path / ("x.ckpt" if write is pytorch else "x.safetensors")
    assert callable(write)
    part = write(path)
    assert torch.equal(read(path)[0]["a.weight"], STATE["a.weight"])
    content = bytearray(path.read_bytes())
    place = content.index(part)
    if damage == "a bit":
        content[place + 100] ^= 1
    elif damage == "zeros":
        content[place : place + len(part)] = bytes(len(part))
    else:
        del content[place + 100 :]
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)) as error:
        read(path)
    assert damage == "cut" or "damaged" in str(error.value)


def test_weights_without_a_checksum_are_read() -> None:
    for shipped in index().values():
        assert read(shipped.path)[0]


def test_a_file_is_on_the_disk_before_it_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(number: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        sync(number)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append("replaced")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    replace_file(tmp_path / "x", b"1", synced=True)
    assert len(done) == 3
    assert done[0].startswith(f"{tmp_path}/.x.")
    assert done[1:] == ["replaced", str(tmp_path)]


def test_records_say_how_many_processes_trained_if_more_than_one() -> None:
    from vosbench.methods.mamp.method import MAMP

    method = MAMP.__new__(MAMP)
    torch.nn.Module.__init__(method)
    for processes, expected in (((), None), ((1,), None), ((2,), "2"), ((1, 4), "1, 4")):
        found = facts(method, Checkpoint("x.ckpt", "0", (), 5, "self-supervised", processes))["checkpoint"]
        assert found.get("processes") == expected
