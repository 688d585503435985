"""`vosbench annotate`: the server gives nothing to strangers and writes nothing wrong; the verb from start to end."""

import http.client
import json
import re
import shlex
import signal
import subprocess
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from vosbench.annotating.page import PAGE, POLICY
from vosbench.annotating.server import Server
from vosbench.annotating.sheet import Sheet
from vosbench.datasets.drawn_masks import Drawn, refined
from vosbench.drawing.encoding import write_video
from vosbench.tasks import annotate
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.palette import PALETTE
from vosbench.video.video_file import VideoFile

Command = Callable[..., Any]
Started = Callable[..., "subprocess.Popen[str]"]
SIZE = (60, 80)


def picture() -> np.ndarray:
    """A red square on green noise."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 40, (*SIZE, 3), dtype=np.uint8) + np.array([10, 120, 10], np.uint8)
    image[20:40, 30:60] = generator.integers(0, 30, (20, 30, 3)) + np.array([200, 20, 20])
    return image.astype(np.uint8)


def mask(*ids: int) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    for place, id_ in enumerate(ids):
        labels[5 + 10 * place : 12 + 10 * place, 7:31] = id_
    return labels


class Answer(NamedTuple):
    status: int
    content: bytes
    headers: dict[str, str]


def ask(address: str, place: str = "", content: bytes | None = None, **headers: str) -> Answer:
    """What is answered at a place below an address: to GET, or to POST if there is content."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    connection.request("GET" if content is None else "POST", url.path + place, content, headers)
    response = connection.getresponse()
    answer = Answer(response.status, response.read(), dict(response.headers))
    connection.close()
    return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    sheet = Sheet("clip, frame 00000", picture(), mask(3), tmp_path / "masks" / "clip.png", "vosbench predict …")
    with Server(sheet, 0) as opened:
        Thread(target=opened.serve_forever, daemon=True).start()
        yield opened
        opened.shutdown()


def test_what_the_page_is_given(server: Server) -> None:
    page = ask(server.address)
    assert (page.status, page.content, page.headers["Content-Type"]) == (200, PAGE, "text/html; charset=utf-8")
    assert page.headers["Content-Security-Policy"] == POLICY
    facts = json.loads(ask(server.address, "facts").content)
    assert (facts["title"], facts["height"], facts["width"]) == ("clip, frame 00000", *SIZE)
    assert facts["palette"] == PALETTE
    assert ask(server.address, "mask").content == mask(3).tobytes()
    (server.sheet.output.parent).mkdir()
    frame = server.sheet.output.with_name("frame.png")
    frame.write_bytes(ask(server.address, "frame").content)
    with Image.open(frame) as read:
        np.testing.assert_array_equal(np.asarray(read), picture())


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path", ["/", "", "//", "/{token}", "/{token}x/", "/x/", "/%C3%A9/", "/{token}/other", "/facts", "/../"]
)
@pytest.mark.parametrize("content", [None, b""])
def test_without_the_token_there_is_nothing(server: Server, path: str, content: bytes | None) -> None:
    root = server.address.removesuffix(f"/{server.token}/")
    answer = ask(root, path.format(token=server.token), content)
    assert (answer.status, answer.content) == (404, b"not found")


@pytest.mark.parametrize("place", ["", "facts", "frame", "mask"])
def test_other_hosts_are_given_nothing(server: Server, place: str) -> None:
    for host in (
        "evil.example",
        f"evil.example:{server.server_address[1]}",
        "127.0.0.1.evil.example",
        "localhostx",
        "",
    ):
        assert ask(server.address, place, Host=host).status == 404
    for host in ("localhost", "localhost:9000", "127.0.0.1:9000"):  # the near end of an SSH tunnel
        assert ask(server.address, place, Host=host).status == 200


def test_other_hosts_change_nothing(server: Server) -> None:
    for place, content in (("mask", mask(1).tobytes()), ("done", b"")):
        assert ask(server.address, place, content, Host="evil.example").status == 404
    assert not server.sheet.output.exists()
    assert ask(server.address).status == 200


def test_what_is_written_is_what_was_sent(server: Server) -> None:
    labels = mask(1, 254, 7)
    assert json.loads(ask(server.address, "mask", labels.tobytes()).content) == [1, 7, 254]
    np.testing.assert_array_equal(read_label_map(server.sheet.output), labels)
    with Image.open(server.sheet.output) as image:
        assert image.mode == "P"
        assert image.getpalette() == PALETTE
    assert [path.name for path in server.sheet.output.parent.iterdir()] == ["clip.png"]
    assert ask(server.address, "mask").content == labels.tobytes()  # for a page that is loaded again
    assert server.sheet.told() == f"wrote {server.sheet.output} with objects [1, 7, 254]"


@pytest.mark.parametrize(
    ("place", "content", "status", "message"),
    [
        ("mask", mask(1).tobytes()[1:], 400, "a frame of 60×80 pixels has 4800 bytes, and there are 4799"),
        ("mask", b"", 400, "and there are 0"),
        ("mask", mask(1).tobytes() + b"0", 413, "4800 bytes are the most"),
        ("mask", mask(1, 255).tobytes(), 400, "there is a 255, and 254 is the most"),
        ("mask", mask().tobytes(), 400, "there is no object yet"),
        ("refine", mask(1)[1:].tobytes(), 400, "and there are 4720"),
        ("refine", mask(5).tobytes(), 400, "there is a 5, and 4 is the most"),
        ("refine", mask(1).tobytes(), 400, "nothing was painted or erased"),
        ("refine", mask(2).tobytes(), 400, "there is no object: paint some first"),
        ("refine", np.full(SIZE, 3, np.uint8).tobytes(), 400, "there is no background: erase some first"),
        ("box", b"[1,2,3]", 400, "a box has 4 numbers, and there are 3"),
        ("box", b"1", 400, "a box is a list of left, top, right and bottom"),
        ("box", b'["a",1,2,3]', 400, "a box is a list"),
        ("box", b"\xff", 400, "a box is a list"),
        ("box", b"[1,1,99,20]", 400, "box 1,1,99,20 is not in the frame: give x up to 80 and y up to 60"),
        ("box", b"[1,1,2,2]", 400, "box 1,1,2,2 is no box"),
        ("box", b"[0,0,80,60]", 400, "the box leaves no background"),
        ("box", b" " * 2000, 413, "1000 bytes are the most"),
        ("facts", b"", 404, "not found"),
    ],
)
def test_wrong_requests(server: Server, place: str, content: bytes, status: int, message: str) -> None:
    answer = ask(server.address, place, content)
    assert answer.status == status
    assert message in answer.content.decode()
    assert not server.sheet.output.exists()
    assert ask(server.address).status == 200


def test_a_body_has_a_known_size(server: Server) -> None:
    for length, status in (("many", 411), ("-1", 411), ("9" * 30, 413)):
        assert ask(server.address, "mask", b"", **{"Content-Length": length}).status == status


def test_a_mask_that_cannot_be_written_is_told(server: Server) -> None:
    server.sheet.output.parent.write_text("a file where the folder should be")
    answer = ask(server.address, "mask", mask(1).tobytes())
    assert answer.status == 400
    assert "File exists" in answer.content.decode()
    assert server.sheet.told() == "nothing was saved"


def test_a_box_is_that_of_predict(server: Server) -> None:
    found = np.frombuffer(ask(server.address, "box", b"[20,10,70,50]").content, np.uint8).reshape(SIZE)
    drawn = Drawn.parse("box:20,10,70,50")
    assert drawn is not None
    np.testing.assert_array_equal(found, drawn.mask(picture()))
    assert found[20:40, 30:60].mean() > 0.95


def test_refining_is_that_of_the_data_sets(server: Server) -> None:
    clues = np.zeros(SIZE, np.uint8)
    clues[20:40, 30:40], clues[25:35, 38:45], clues[25:35, 62:66] = 1, 3, 2
    found = np.frombuffer(ask(server.address, "refine", clues.tobytes()).content, np.uint8).reshape(SIZE)
    np.testing.assert_array_equal(found, refined(picture(), clues))


def test_a_port_in_use(server: Server) -> None:
    port = server.server_address[1]
    with pytest.raises(
        UserError, match=f"port={port} cannot be used: Address already in use; choose another, or port=0"
    ):
        Server(server.sheet, port)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "it's a clip, (1).mp4"
    write_video(path, iter([np.roll(picture(), index, 1) for index in range(5)]), fps=10)
    return path


def address_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/$", line.strip())
    assert found, line + (process.communicate()[1] if process.poll() is not None else "")
    return found[0]


def test_from_start_to_end(started: Started, command: Command, clip: Path) -> None:
    """What is printed at the end is a command that runs."""
    process = started("annotate", f"input={clip}", "browser=false")
    address = address_of(process)
    facts = json.loads(ask(address, "facts").content)
    assert (facts["title"], facts["output"]) == (f"{clip.stem}, frame 00000", f"{clip.stem}.png")
    assert ask(address, "mask", mask(1, 2).tobytes()).status == 200
    assert ask(address, "done", b"").status == 200
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[0] == f"wrote {clip.stem}.png with objects [1, 2]"
    words = shlex.split(out.splitlines()[1].removeprefix("use it: "))
    assert words == ["vosbench", "predict", f"input={clip}", f"mask={clip.stem}.png", "overlay=true"]
    assert facts["command"] == shlex.join(words)
    done = command(*words[1:], "method=copy_first", "device=cpu", "output=out")
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(read_label_map(Path("out", clip.stem, "00004.png")), mask(1, 2))


@pytest.mark.parametrize(
    ("output", "written", "use"),
    [(None, "{stem}-00003.png", ["mask={stem}-00003.png", "frames=3:"]), ("masks/00003.png",) * 2 + (["mask=masks"],)],
)
def test_another_frame(
    started: Started, command: Command, clip: Path, output: str | None, written: str, use: list[str]
) -> None:
    words = [f"output={output}"] if output else []
    process = started("annotate", f"input={clip}", "browser=false", "frame=3", *words)
    address = address_of(process)
    Path("frame.png").write_bytes(ask(address, "frame").content)
    with Image.open("frame.png") as image:
        np.testing.assert_array_equal(np.asarray(image), VideoFile(clip).frame(3))
    Path("frame.png").unlink()
    ask(address, "mask", mask(5).tobytes())
    ask(address, "done", b"")
    out, _ = process.communicate(timeout=60)
    np.testing.assert_array_equal(read_label_map(Path(written.format(stem=clip.stem))), mask(5))
    typed = shlex.split(out.splitlines()[1].removeprefix("use it: "))
    assert typed[3:-1] == [each.format(stem=clip.stem) for each in use]
    done = command(*typed[1:], "method=copy_first", "device=cpu", "output=out")
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(read_label_map(Path("out", clip.stem, "00004.png")), mask(5))


@pytest.mark.parametrize("saves", [False, True])
def test_an_interrupt_says_what_was_saved(started: Started, clip: Path, saves: bool) -> None:
    process = started("annotate", f"input={clip}", "browser=false")
    address = address_of(process)
    if saves:
        ask(address, "mask", mask(1).tobytes())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    told = f"wrote {clip.stem}.png with objects [1]" if saves else "nothing was saved"
    assert (process.returncode, err) == (130, f"vosbench: interrupted: {told}\n")


def test_the_page_is_opened(started: Started, clip: Path, tmp_path: Path) -> None:
    """By the browser that the user has named."""
    named = tmp_path / "browser"
    named.write_text('#!/bin/sh\necho "$1" > opening && mv opening opened\n')
    named.chmod(0o755)
    process = started("annotate", f"input={clip}", BROWSER=str(named))
    address = address_of(process)
    for _ in range(600):
        if (tmp_path / "opened").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "opened").read_text().strip() == address


def test_a_browser_in_the_terminal_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take over the terminal in which the command runs."""
    opened: list[str] = []
    monkeypatch.delenv("BROWSER", raising=False)
    for kind in (webbrowser.GenericBrowser, webbrowser.BackgroundBrowser):
        browser = kind("browser")
        monkeypatch.setattr(browser, "open", lambda address, kind=kind: opened.append(f"{kind.__name__} {address}"))
        monkeypatch.setattr(webbrowser, "get", lambda browser=browser: browser)
        annotate._show("address")
    assert opened == ["BackgroundBrowser address"]


@pytest.mark.parametrize("values", [(1, 2), (255,), (4, 255)])
def test_a_mask_is_corrected(started: Started, clip: Path, values: tuple[int, ...]) -> None:
    write_label_map(Path("first.png"), mask(*values))
    process = started("annotate", f"input={clip}", "browser=false", "output=first.png", "overwrite=true")
    assert process.stdout is not None
    if values == (4, 255):
        assert "255 beside other ids is no object" in process.stdout.readline()
    loaded = ask(address_of(process), "mask").content
    expected = {(1, 2): mask(1, 2), (255,): mask(1), (4, 255): mask(4)}[values]
    np.testing.assert_array_equal(np.frombuffer(loaded, np.uint8).reshape(SIZE), expected)


def test_bad_input(command: Command, clip: Path, tmp_path: Path) -> None:
    def refused(*words: str) -> Any:
        return command("annotate", f"input={clip}", "browser=false", *words)

    command("annotate", "input=no.mp4").error(1, "video no.mp4 does not exist: give a video file or a folder of frames")
    refused("frame=5").error(1, "frame=5:", "has 5 frames: give 0 to 4")
    refused("frame=-1").error(2, "frame=-1")
    refused("port=70000").error(2, "port=70000")
    refused("output=mask.jpg").error(1, "output=mask.jpg must end in .png")
    write_label_map(tmp_path / "mask.png", mask(1)[1:])
    remedy = "mask.png exists: correct it with overwrite=true, or choose another output"
    refused("output=mask.png").error(1, remedy)
    refused("output=mask.png", "overwrite=true").error(1, "mask.png", "59×80", "60×80")
    refused("output=mask.png/a/b.png").error(1, "output=mask.png/a/b.png", "cannot be written: choose another folder")
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.png"), mask(1)[1:])


def test_a_mask_among_frames_would_be_one_of_them(command: Command, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    Image.fromarray(picture()).save(tmp_path / "frames" / "00000.png")
    for output in ("frames/00000.png", "frames/mask.png"):
        done = command("annotate", "input=frames", f"output={output}", "overwrite=true")
        done.error(1, f"output={output} would lie among the frames of frames: choose another folder")
