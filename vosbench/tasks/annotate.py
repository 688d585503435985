"""`vosbench annotate`: a page in the browser on which the mask of a frame is drawn, and written as an indexed PNG.

The page is served to this machine alone, until it is done or the command is interrupted.
"""

import logging
import os
import shlex
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Annotated

import numpy as np

from vosbench.annotating.server import Server
from vosbench.annotating.sheet import Sheet
from vosbench.datasets.video_folder import open_video
from vosbench.settings.options import FileName, Natural, Range, Where
from vosbench.util.errors import UserError
from vosbench.video.palette import VOID
from vosbench.video.part import Part
from vosbench.video.video import LabelMap, warn_of_losses

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/annotate.yaml, which explains them."""

    input: Where[FileName]
    frame: Where[Natural]
    output: Where[FileName | None]
    port: Where[Annotated[int, Range(0, 65535)]]
    browser: Where[bool]
    overwrite: Where[bool]


def run(options: Options) -> None:
    """Raises UserError for a frame that is not there, for an output that cannot be written or exists, unless
    `overwrite`, and for a port that is in use."""
    sheet = _sheet(options)
    with Server(sheet, options.port) as server:
        try:
            log.info("draw the mask of %s here: %s", sheet.title, server.address)
            if options.browser:
                Thread(target=_show, args=(server.address,), daemon=True).start()  # some browsers keep this waiting
            server.serve_forever()
        except KeyboardInterrupt as end:
            raise KeyboardInterrupt(f"interrupted: {sheet.told()}") from end
    log.info("%s", sheet.told())
    if sheet.saved:
        log.info("use it: %s", sheet.command)


def _sheet(options: Options) -> Sheet:
    video = open_video(options.input)
    warn_of_losses(video)
    if options.frame >= (count := len(video.frame_names)):
        raise UserError(f"frame={options.frame}: {options.input} has {count} frames: give 0 to {count - 1}")
    name = video.frame_names[options.frame]
    output = Path(options.output or (f"{video.name}-{name}.png" if options.frame else f"{video.name}.png"))
    _check(output, options)
    image = video.frame(options.frame)
    labels = _existing(output, options) if output.exists() else np.zeros(image.shape[:2], np.uint8)
    return Sheet(f"{video.name}, frame {name}", image, labels, output, _command(options, output, name))


def _check(output: Path, options: Options) -> None:
    """Raises UserError for an output that is not to be written."""
    if output.suffix.lower() != ".png":
        raise UserError(f"output={output} must end in .png")
    if output.resolve().parent == Path(options.input).resolve():
        raise UserError(f"output={output} would lie among the frames of {options.input}: choose another folder")
    if output.exists() and not options.overwrite:
        raise UserError(f"{output} exists: correct it with overwrite=true, or choose another output")
    above = next(each for each in output.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"output={output}: {above} cannot be written: choose another folder")


def _existing(output: Path, options: Options) -> LabelMap:
    """The mask that was drawn before. Raises UserError if it is none of this frame."""
    labels = open_video(options.input, output, Part(options.frame, options.frame + 1)).annotation(0)
    assert labels is not None
    return np.where(labels == VOID, 0, labels).astype(np.uint8)


def _command(options: Options, output: Path, name: str) -> str:
    """The command that uses the mask. A file that has the name of its frame is taken for one of a folder of masks."""
    words = [f"input={options.input}", f"mask={output}"]
    if output.stem == name and output.parent != Path():
        words[1] = f"mask={output.parent}"
    elif options.frame:
        words.append(f"frames={options.frame}:")
    return shlex.join(["vosbench", "predict", *words, "overlay=true"])


def _show(address: str) -> None:
    """Opens the page, if there is a browser with a window, or the user has named one."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser or "BROWSER" in os.environ:  # others take over the terminal
        browser.open(address)
