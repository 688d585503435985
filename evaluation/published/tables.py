"""Reading the tables of the papers: printed cells become numbers and names."""

import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.published.schema import Column, Row, Table, Where
from vosbench.util.errors import UserError, unknown

PAPERS = ("mamp", "munet", "mask_embedding", "features")
MARKS = re.compile(r" \[\w+\]$|[†‡∗]$")  # a venue such as [CVPR20], or a mark that notes explain
SIZES = re.compile(r"\([^()]*, [^()]*\)$")  # of training data: images and hours
SUPERVISION = {"✗": "self-supervised", "✓": "supervised"}


@cache
def tables() -> tuple[Table, ...]:
    """All tables, by paper and in the paper's order."""
    return tuple(table for paper in PAPERS for table in _read(Path(__file__).with_name(f"{paper}.yaml")))


def table(name: str) -> Table:
    """The table of this name. Raises UserError naming the known ones."""
    known = {each.name: each for each in tables()}
    if name not in known:
        raise UserError(unknown("table", name, known))
    return known[name]


def _read(path: Path) -> list[Table]:
    """The tables of one paper."""
    paper = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
    return [_table(paper, content) for content in paper["tables"]]


def _table(paper: dict[str, Any], content: dict[str, Any]) -> Table:
    number = content["number"]
    results = tuple(Where(dataset=name, **where) for name, where in content["results"].items())
    columns = tuple(_column(results, *column) for column in content["columns"])
    shared = content.get("shared", {})
    return Table(
        name=f"{paper['paper']}_{number.lower()}",
        title=f"{paper['title']} {number}",
        source=content.get("source") or f"{paper['source']}, Table {number}",
        year=paper["year"],
        caption=content["caption"],
        results=results,
        columns=columns,
        rows=tuple(_row({**shared, **row}, columns, results, paper["legend"]) for row in content["rows"]),
        notes=tuple(content.get("notes", ())),
        sweep=content.get("sweep", ""),
        transposed=content.get("transposed", False),
    )


def _column(results: tuple[Where, ...], header: str, field: str, dataset: str = "") -> Column:
    """A column; a score without a data set is of the table's first."""
    is_score = field in _measures(results[0])
    return Column(header, field, dataset or (results[0].dataset if is_score else ""))


def _measures(where: Where) -> list[str]:
    return [measure.name for measure in protocol_named(where.protocol).measures]


def _row(
    content: dict[str, Any], columns: tuple[Column, ...], results: tuple[Where, ...], legend: dict[str, str]
) -> Row:
    """What `content` says of a row wins over what its cells say."""
    printed = tuple(cell.strip() for cell in content["printed"].split("|"))
    cells = dict(zip(columns, printed, strict=True))
    ours = {key: "null" if value is None else str(value) for key, value in content.get("ours", {}).items()}
    scores = {where.dataset: _scores(where, cells) for where in results}
    return Row(**{**_facts(cells, legend), **content, "printed": printed, "scores": scores, "ours": ours})


def _facts(cells: dict[Column, str], legend: dict[str, str]) -> dict[str, Any]:
    """What the cells of a row say besides its scores."""
    texts = {column.field: text for column, text in cells.items() if not column.dataset}
    hours = re.search(r"([\d.]+) (?:hrs|hours)", " ".join(texts.values()))
    venue = re.search(r" \[[A-Za-z]+(\d\d)\]$", texts.get("system", ""))
    year, millions = (number(texts.get(name, "")) for name in ("year", "parameters"))
    return {
        "system": MARKS.sub("", texts.get("system", "")),
        "year": 2000 + int(venue[1]) if venue else year and int(year),
        "backbone": texts.get("backbone"),
        "parameters": millions and round(millions * 1e6),
        "training_data": training_data(texts.get("training_data", ""), legend),
        "hours": float(hours[1]) if hours else None,
        "supervision": SUPERVISION.get(texts.get("supervision", "")),
        **{name: number(texts.get(name, "")) for name in ("fps", "minutes_per_epoch")},
    }


def _scores(where: Where, cells: dict[Column, str]) -> dict[str, float]:
    """The scores on one data set, the protocol's first measure first."""
    texts = {column.field: text for column, text in cells.items() if column.dataset == where.dataset}
    found = {name: number(texts.get(name, "")) for name in _measures(where)}
    return {name: value for name, value in found.items() if value is not None}


def number(cell: str) -> float | None:
    """The number that a cell starts with (a difference may follow); None if there is none."""
    found = re.match(r"[-+]?\d+(\.\d+)?", cell)
    return float(found[0]) if found else None


def training_data(cell: str, legend: dict[str, str]) -> str | None:
    """The data sets of a cell by their full names. Longer abbreviations are looked for first."""
    known = sorted(legend, key=len, reverse=True)
    found = re.findall("|".join(map(re.escape, known)), SIZES.sub("", cell))
    return " + ".join(legend[name] for name in found) or None
