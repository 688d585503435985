"""Terminals, pipes and files that cannot take every character, and pipes that are closed early."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from vosbench.cli import main as cli
from vosbench.cli import terminal
from vosbench.cli.errors import Told, reported
from vosbench.cli.verbs import VERBS
from vosbench.util.errors import UserError

OURS = [verb for verb in VERBS if verb != "try"]


class Narrow(io.TextIOWrapper):
    """A stream of an encoding with few characters."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("arguments", [[], *([verb, "--help"] for verb in OURS)])
def test_help_in_few_characters(encoding: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Narrow(encoding)
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "argv", ["vosbench", *arguments])
    cli.main()
    assert "[key=value ?]" in narrow.text()


def test_errors_and_tables_in_few_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Narrow("ascii"), Narrow("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    terminal.print_anything()
    table = Table("95 % …")
    table.add_row("é – \udcff")
    Console().print(table)
    with pytest.raises(Told), reported():
        raise UserError("café … is missing")
    assert "| ? ? ?" in out.text()
    assert err.text() == "vosbench: error: caf? ? is missing\n"


def test_names_that_are_no_text_can_be_printed_and_logged(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode(b"caf\xe9")
    done = command("evaluate", f"predictions={name}", "dataset=collage", "dataset.videos=1", "dataset.length=4")
    done.error(1, "caf\\udce9")
    log = tmp_path / "run.log"
    handler = logging.FileHandler(log, encoding="latin-1")
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    terminal.prepare_logs()
    logging.getLogger().error("… %s", name)
    handler.close()
    assert log.read_bytes() == "… caf\\udce9\n".encode()


def test_a_pipe_that_is_closed_early() -> None:
    command = [sys.executable, "-m", "vosbench", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == terminal.CLOSED


def test_a_log_that_nobody_reads_ends_the_command() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    handler = logging.StreamHandler(Closed())
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    try:
        terminal.prepare_logs()
        with pytest.raises(BrokenPipeError):
            root.error("x")
    finally:
        root.handlers[:] = before
