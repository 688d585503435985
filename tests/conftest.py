"""Shared by all tests: shapes and types are checked as they run, one thread each, and where the real video is."""

import atexit
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception
from jaxtyping import install_import_hook
from PIL import Image

if TYPE_CHECKING:
    from selenium import webdriver

# Tests share small machines; processes that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Digests of files that tests write are not remembered beyond them.
os.environ["VOSBENCH_CACHE"] = tempfile.mkdtemp(prefix="vosbench-cache-")
atexit.register(shutil.rmtree, os.environ["VOSBENCH_CACHE"], ignore_errors=True)
# A shell that starts the tests in the background has them ignore interrupts, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# On processors with AVX2 and no AVX-512, oneDNN's AVX2 kernels of PyTorch 2.15 write past their buffers in the backward
# pass of small convolutions, and the process aborts.
if Path("/proc/cpuinfo").is_file() and "avx512" not in Path("/proc/cpuinfo").read_text():
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX")


typed = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float, as in mypy


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, but functions that take a protocol stay unchecked: a check reads properties, and so videos."""
    try:
        return typed(function)
    except BeartypeDecorHintPep3119Exception:
        return function


typechecker = ModuleType("vosbench_typechecker")  # the hook takes a name that can be imported
typechecker.checked = checked  # type: ignore[attr-defined]
sys.modules[typechecker.__name__] = typechecker
install_import_hook("vosbench", f"{typechecker.__name__}.checked")


@pytest.fixture(autouse=True)
def _forget_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forgets the modules that a test wrote and imported: the next test may write others of the same name."""
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(written):
            del sys.modules[name]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real video, for tests marked `real`; skips when VOSBENCH_DATA does not name one."""
    folder = os.environ.get("VOSBENCH_DATA")
    if not folder:
        pytest.skip("needs real video: set VOSBENCH_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """What tests/reference.py defines: sibling modules cannot be imported from tests."""
    return runpy.run_path(str(Path(__file__).with_name("reference.py")))


class Outcome(NamedTuple):
    """What a command leaves: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    def error(self, status: int, *parts: str) -> None:
        """Checks that it ended with this status and on stderr with one line, and one for each of several problems, that
        have these parts."""
        lines = self.err.splitlines()
        assert self.status == status, self.err
        assert lines[0].startswith("vosbench: ")
        assert all(line.startswith("  - ") for line in lines[1:]), self.err
        assert all(part in self.err for part in parts), (parts, self.err)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Runs `vosbench <arguments>` in this process and in a folder of its own."""
    from vosbench.cli import configuration
    from vosbench.cli import main as cli
    from vosbench.evaluation import protocols

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configuration, "_folders", [])
    monkeypatch.setattr(protocols, "PACKAGES", protocols.PACKAGES[:])
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.level, root.handlers = level, handlers[:]
        for number, handle in signals.items():
            signal.signal(number, handle)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["vosbench", *arguments])
        capsys.readouterr()
        status: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        finally:
            restore()
        return Outcome(status, *capsys.readouterr())

    yield run
    restore()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a command in a process of its own, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    running = []

    def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "vosbench", *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


HOLDING = """
import sys
from contextlib import ExitStack
from pathlib import Path
from vosbench.runs.claims import Claim
with ExitStack() as stack:
    print(*(stack.enter_context(Claim(Path(path))) for path in sys.argv[1:]), flush=True)
    input()
"""


@pytest.fixture
def holding() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds the claims at some paths until it is ended: by its input, or by killing it."""
    started: list[subprocess.Popen[str]] = []

    def hold(*paths: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDING, *map(str, paths)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["True"] * len(paths)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Three videos in DAVIS-2017 layout, 48 by 64 pixels: a (6 frames, object 1), b (5 frames, object 1, and 2 from
    frame 2 on) and c (4 frames, object 1); textured squares that move over noise."""
    from vosbench.video.images import write_label_map

    root = tmp_path / "davis"
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("a\nb\nc\n")
    for seed, (name, count) in enumerate({"a": 6, "b": 5, "c": 4}.items()):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / "480p" / name).mkdir(parents=True)
        noise = np.random.default_rng(seed).integers(0, 255, (3, 48, 64, 3), np.uint8)
        for index in range(count):
            image, labels = noise[0].copy(), np.zeros((48, 64), np.uint8)
            for id_ in (1, 2) if name == "b" and index > 1 else (1,):
                rows, columns = slice(22 * id_ - 16, 22 * id_), slice(8 + 3 * index, 26 + 3 * index)
                image[rows, columns], labels[rows, columns] = noise[id_, :16, :18], id_
            Image.fromarray(image).save(root / "JPEGImages/480p" / name / f"{index:05}.jpg", quality=95)
            write_label_map(root / "Annotations/480p" / name / f"{index:05}.png", labels)
    return root


@pytest.fixture(scope="session")
def run_name() -> Callable[..., str]:
    """The name that a command gives to its run: `run_name("train", "seed=1")`."""
    from vosbench.cli import configuration

    def named(verb: str, *overrides: str) -> str:
        folder = configuration.run_folder(configuration.compose(verb, overrides))
        assert folder is not None
        return folder.name

    return named


BROWSERS, DRIVER = ("chromium", "google-chrome", "chromium-browser"), "chromedriver"
WIDTHS = {"phone": 400, "desk": 1400}


def browser_of(width: int) -> "webdriver.Chrome":
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which(DRIVER)))
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return browser


@pytest.fixture(scope="module", params=WIDTHS)
def browser(request: pytest.FixtureRequest) -> Iterator["webdriver.Chrome"]:
    """A real browser, as wide as a phone and as a desk. Skips where there is none, but fails where one was promised."""
    if not any(map(shutil.which, BROWSERS)) or not shutil.which(DRIVER):
        promised = os.environ.get("CI") or os.environ.get("VOSBENCH_NEEDS_BROWSER")
        (pytest.fail if promised else pytest.skip)(
            "needs Chromium and its driver: apt install chromium chromium-driver"
        )
    opened = browser_of(WIDTHS[request.param])
    yield opened
    opened.quit()
