"""A paper's table printed again."""

from vosbench.evaluation.board.sheet import Sheet
from vosbench.evaluation.published.printing import cells
from vosbench.evaluation.published.schema import Table


def of(table: Table) -> Sheet:
    """The cells as they are printed, with source and notes."""
    headers, rows = cells(table)
    remarks = [f"{row.system}: {row.note}." for row in table.rows if row.note]
    notes = [f"{table.source}.", *table.notes, *remarks]
    return Sheet(f"{table.title}: {table.caption}", headers, rows, notes)
