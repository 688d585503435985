"""The page: what it shows as plain data, which templates write as HTML. Scripts and styles are inside."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.report import plot
from vosbench.evaluation.board.report.bars import Bars, bars_of
from vosbench.evaluation.board.report.beside import Beside, compared, read_beside
from vosbench.evaluation.board.report.commands import Command, commands_of
from vosbench.evaluation.board.report.curves import measures_over_time
from vosbench.evaluation.board.report.store import Store
from vosbench.evaluation.board.report.tables import Table, board_table, object_table, sequence_table
from vosbench.evaluation.board.report.videos import Video, videos_of

HERE = Path(__file__).parent
SCRIPTS = ("tables.js", "videos.js", "page.js")
EARLY = "document.documentElement.className = 'scripted'"  # before anything is drawn


@dataclass(frozen=True)
class Section:
    """A board on the page. `id` is unique on it; `over_time`: names of the curves."""

    id: str
    board: Board
    table: Table
    bars: Bars
    sequences: Table | None
    objects: Table | None
    commands: list[Command]
    over_time: Sequence[str]
    videos: list[Video]


def html(boards: Sequence[Board], title: str = "Leaderboard") -> str:
    """A page that needs no other file."""
    store, known = Store(), set[bytes]()
    sections = [_section(f"b{place}", board, store, known) for place, board in enumerate(boards, 1)]
    script = "\n".join(_asset(name) for name in SCRIPTS)
    inside = _at_first(sections)
    every = store.addresses()
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            sections=sections,
            style=_asset("style.css"),
            early=EARLY,
            script=script,
            hashes=[_hash(text) for text in (EARLY, script)],
            addresses=every,
            data={
                "pictures": {key: each for key, each in every.items() if key not in inside},
                "videos": _data(sections),
            },
            area=plot,
        )
    )


def _section(name: str, board: Board, store: Store, known: set[bytes]) -> Section:
    rows = compared(board.rows)
    found = read_beside(rows, known)
    return Section(
        id=name,
        board=board,
        table=board_table(board),
        bars=bars_of(board),
        sequences=sequence_table(rows, _attributes(found)),
        objects=object_table(rows),
        commands=commands_of(board.rows),
        over_time=measures_over_time(rows),
        videos=videos_of(found, store, mixed=board.mixed),
    )


def _attributes(found: Sequence[Beside]) -> dict[str, Sequence[str]]:
    return {name: facts.attributes for each in found for name, facts in each.facts.items()}


def _at_first(sections: Sequence[Section]) -> set[str]:
    """The keys of the pictures that the page shows before its script runs: the script finds them where they are."""
    keys: set[str] = set()
    for video in (video for section in sections for video in section.videos):
        moments = video.moments
        lists = [moments.frames, moments.annotations, *moments.predictions]
        keys |= {key for each in lists if each and (key := each[moments.start])}
        keys |= {worst.picture for worst in video.worst}
    return keys


def _data(sections: Sequence[Section]) -> dict[str, Any]:
    """What the script needs to know about each video, by the id of its section."""
    return {
        f"{section.id}-v{place}": {
            "names": video.moments.names,
            "positions": video.moments.positions,
            "allNames": video.moments.all_names,
            "start": video.moments.start,
            "frames": video.moments.frames,
            "layers": [video.moments.annotations, *video.moments.predictions],
            "curves": None
            if video.curves is None
            else {
                "positions": video.curves.positions,
                "measures": list(video.curves.measures),
                "values": video.curves.values,
            },
        }
        for section in sections
        for place, video in enumerate(section.videos, 1)
    }


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(HERE / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _asset(name: str) -> str:
    return (HERE / "assets" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """How the page's policy names a script: no other may run, whatever a name holds."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
