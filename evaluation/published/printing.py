"""A paper's table printed again, cell by cell."""

from vosbench.evaluation.published.schema import Table
from vosbench.evaluation.results.escaping import markdown as escaped


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headers and rows as the paper prints them, systems as columns where it does."""
    lines = [[column.header for column in table.columns], *(list(row.printed) for row in table.rows)]
    headers, *rows = map(list, zip(*lines, strict=True)) if table.transposed else lines
    return headers, rows


def markdown(table: Table) -> str:
    """The table with its caption, source and notes."""
    headers, rows = cells(table)
    lines = [headers, ["---"] * len(headers), *rows]
    body = "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)
    remarks = [f"{row.system}: {row.note}." for row in table.rows if row.note]
    notes = "\n".join(f"- {escaped(note)}" for note in (f"{table.source}.", *table.notes, *remarks))
    return f"## {escaped(table.title)}\n\n{escaped(table.caption)}\n\n{body}\n\n{notes}\n"
