"""The page: what it shows as plain data, which templates write as HTML. Scripts and styles are inside."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.report import charts, plot
from vosbench.evaluation.board.report.bars import Bars, bars_of
from vosbench.evaluation.board.report.beside import Beside, compared, read_beside
from vosbench.evaluation.board.report.charts import Chart, charts_of
from vosbench.evaluation.board.report.commands import Command, commands_of
from vosbench.evaluation.board.report.curves import measures_over_time
from vosbench.evaluation.board.report.script_data import at_first, data_of
from vosbench.evaluation.board.report.store import Store
from vosbench.evaluation.board.report.tables import Table, board_table, object_table, sequence_table
from vosbench.evaluation.board.report.videos import Video, videos_of

HERE = Path(__file__).parent
SCRIPTS = ("tables.js", "plots.js", "videos.js", "page.js")
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
    charts: list[Chart]
    commands: list[Command]
    over_time: Sequence[str]
    videos: list[Video]

    def video_id(self, place: int) -> str:
        """The id of a video, counted from 1."""
        return f"{self.id}-v{place}"


def html(boards: Sequence[Board], title: str = "Leaderboard", *, refresh: int | None = None) -> str:
    """A page that needs no other file. refresh: seconds after which it loads itself again."""
    store, known = Store(), set[bytes]()
    sections = [_section(f"b{place}", board, store, known) for place, board in enumerate(boards, 1)]
    videos = {each.video_id(i): video for each in sections for i, video in enumerate(each.videos, 1)}
    inside, addresses = at_first(list(videos.values())), store.addresses()
    script = "\n".join(_asset(name) for name in SCRIPTS)
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            refresh=refresh,
            sections=sections,
            style=_asset("style.css"),
            early=EARLY,
            script=script,
            hashes=[_hash(text) for text in (EARLY, script)],
            addresses=addresses,
            data={
                "pictures": {key: each for key, each in addresses.items() if key not in inside},
                "videos": {name: data_of(video) for name, video in videos.items()},
            },
            area=plot,
            charts=charts,
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
        charts=charts_of(board, found),
        commands=commands_of(board.rows),
        over_time=measures_over_time(rows),
        videos=videos_of(found, store, mixed=board.mixed),
    )


def _attributes(found: Sequence[Beside]) -> dict[str, Sequence[str]]:
    return {name: facts.attributes for each in found for name, facts in each.facts.items()}


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(HERE / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _asset(name: str) -> str:
    return (HERE / "assets" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """How the page's policy names a script: no other may run, whatever a name holds."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
