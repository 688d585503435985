"""A paper's table printed again, cell by cell."""

from vosbench.evaluation.published.schema import Table


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headers and rows as the paper prints them, systems as columns where it does."""
    lines = [[column.header for column in table.columns], *(list(row.printed) for row in table.rows)]
    headers, *rows = map(list, zip(*lines, strict=True)) if table.transposed else lines
    return headers, rows
