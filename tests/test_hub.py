"""Weights on the Hugging Face Hub, which a server on this machine stands in for: it speaks what a download needs."""

import hashlib
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save

from vosbench.methods.mamp.method import MAMP
from vosbench.nn.optical_flow import NoFlow, Raft
from vosbench.nn.resnet import ResNet
from vosbench.settings.recipe import settings
from vosbench.util import hub
from vosbench.util.errors import UserError
from vosbench.weights.loading import initialise, restore

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY: dict[str, Any] = {"widths": (8, 8, 8, 8), "channels": 8}
CODES = {"absent": "RepoNotFound", "gated": "GatedRepo"}  # by the name of the repository


class Hub(ThreadingHTTPServer):
    """Serves `files` (by "<repo>/<file>") of the branch main and of the tag v1. Notes the files that were sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.place = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        owner, repo, _, revision, file = [*self.path.lstrip("/").split("/", 4), *[""] * 4][:5]
        content = self.server.files.get(f"{owner}/{repo}/{file}")
        wrong = CODES.get(repo) or ("RevisionNotFound" if revision not in ("main", "v1") else None)
        if wrong or content is None:
            self.send_response(403 if wrong == "GatedRepo" else 404)
            self.send_header("X-Error-Code", wrong or "EntryNotFound")
            content = b""
        else:
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.server.sent += [file] if file else []  # the client also asks for other things
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Hub]:
    with Hub() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def here(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server as the Hub of this process, with an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", server.place)
    template = server.place + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.fetched.cache_clear()
    yield server
    hub.fetched.cache_clear()


def small() -> MAMP:
    return MAMP(NoFlow(), **TINY)


def test_weights_are_downloaded_once(here: Hub, caplog: pytest.LogCaptureFixture) -> None:
    trained = small()
    here.files["me/nets/of/tiny.safetensors"] = content = save(trained.state_dict())
    caplog.set_level(logging.INFO, "vosbench")
    for revision in ("", "@v1"):
        method = small()
        checkpoint = restore(method, f"hf:me/nets/of/tiny.safetensors{revision}", seed=0)
        assert checkpoint.name == f"hf:me/nets/of/tiny.safetensors@{COMMIT}"
        assert checkpoint.sha256 == hashlib.sha256(content).hexdigest()
        for key, value in trained.state_dict().items():
            assert torch.equal(method.state_dict()[key], value)
    hub.fetched.cache_clear()  # as in the next process
    assert initialise(small(), "hf:me/nets/of/tiny.safetensors") == []
    assert restore(small(), checkpoint.name, seed=0) == checkpoint  # what records say can be typed
    assert here.sent == ["of/tiny.safetensors"]
    assert caplog.text.count("downloading hf:me/nets/of/tiny.safetensors (0.") == 1


def test_without_a_network_the_cache_will_do(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    here.files["me/nets/tiny.safetensors"] = save(small().state_dict())
    first = restore(small(), "hf:me/nets/tiny.safetensors", seed=0)
    hub.fetched.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert restore(small(), "hf:me/nets/tiny.safetensors", seed=0) == first
    with pytest.raises(UserError, match="not in the cache, and HF_HUB_OFFLINE forbids"):
        hub.local("hf:me/nets/other.safetensors")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("me/absent/a.pth", "cannot get hf:me/absent/a.pth: there is no {}/me/absent, or it is private: "),
        ("me/gated/a.pth", "share me/gated on conditions: accept them at {}/me/gated, then `hf auth login`"),
        ("me/nets/a.pth", "me/nets has no file a.pth in revision main: {}/me/nets/tree/main lists"),
        ("me/nets/a.pth@old", "me/nets has no revision old: give another after @"),
        ("me/a.pth", "hf:me/a.pth names no file of the Hub: give hf:<owner>/<repo>/<file>, maybe with @<revision>"),
        ("m e/nets/a.pth", "cannot get hf:m e/nets/a.pth: "),
        ("me/nets/../a.pth", "cannot get hf:me/nets/../a.pth: "),
    ],
)
def test_what_cannot_be_had_is_one_line(here: Hub, name: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        restore(small(), f"hf:{name}", seed=0)
    assert said.format(here.place) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hub_that_is_away_is_one_line(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    here.shutdown()
    here.server_close()
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    with pytest.raises(UserError, match=r"does not give it \(.*refused\): repeat the command later"):
        hub.local("hf:me/nets/a.pth")


def test_the_package_can_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.fetched.cache_clear()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"hf:me/nets/a.pth needs huggingface_hub .*: pip install 'vosbench\[hf\]'"):
        hub.local("hf:me/nets/a.pth")


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this ran",)


def test_code_in_a_file_is_not_run(here: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    content = io.BytesIO()
    torch.save({"state_dict": Harmful()}, content)
    here.files["me/nets/bad.pth"] = content.getvalue()
    with pytest.raises(UserError, match=r"bad\.pth: it holds print, which is no weight"):
        restore(small(), "hf:me/nets/bad.pth", seed=0)
    assert "this ran" not in capsys.readouterr().out


def test_every_file_of_weights_may_lie_there_and_counts_by_content(here: Hub, tmp_path: Path) -> None:
    content = save(dict(ResNet(18).state_dict()))
    here.files["me/nets/r18.safetensors"] = content
    (tmp_path / "copy.safetensors").write_bytes(content)
    there, copy = "hf:me/nets/r18.safetensors", str(tmp_path / "copy.safetensors")
    net, same = ResNet(18, weights=there), ResNet(18, weights=copy)
    assert torch.equal(net.state_dict()["conv1.weight"], same.state_dict()["conv1.weight"])
    assert net.learned_from == Raft("small", weights=there).learned_from == ("r18.safetensors",)
    counted = [
        settings({"size": "small", "weights": weights}, Raft)["weights"] for weights in (there, copy, f"{there}@v1")
    ]
    assert counted == [f"sha256 {hashlib.sha256(content).hexdigest()[:16]}"] * 3


def test_the_command_line_predicts_with_them_and_knows_a_copy(
    server: Hub, started: Callable[..., Any], tmp_path: Path
) -> None:
    server.files["me/nets/tiny.safetensors"] = content = save(small().state_dict())
    (tmp_path / "copy.safetensors").write_bytes(content)
    (tmp_path / "clip").mkdir()
    for name in ("0", "1"):
        Image.new("RGB", (32, 24)).save(tmp_path / "clip" / f"{name}.png")
    Image.new("L", (32, 24), 1).save(tmp_path / "first.png")
    words = ["predict", "method=mamp_small", "method.widths=[8,8,8,8]", "method.channels=8", "flow=none", "name=one"]
    words += ["device=cpu", "input=clip", "mask=first.png"]
    environment = {"HF_ENDPOINT": server.place, "HF_HOME": str(tmp_path / "home")}
    first = started(*words, "checkpoint=hf:me/nets/tiny.safetensors", **environment)
    out, err = first.communicate(timeout=300)
    assert first.returncode == 0, err
    assert "downloading hf:me/nets/tiny.safetensors (0." in out
    record = Path("runs/mamp_small/one/predictions/.records/clip.json").read_text()
    assert f"hf:me/nets/tiny.safetensors@{COMMIT}" in record
    again = started(*words, "checkpoint=copy.safetensors", **environment)
    assert "1 of 1 videos are done already" in again.communicate(timeout=300)[0]
