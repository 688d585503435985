"""Small tables of text with a title and notes: the paper's beside ours, and what a sweep came to."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from vosbench.evaluation.results.escaping import csv_cell, latex, latex_comment, markdown
from vosbench.util.files import replace_file
from vosbench.util.terminal import Terminal


@dataclass(frozen=True)
class Sheet:
    """A table. texts: number of columns on the left that hold text, which is aligned left."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=list)
    texts: int = 1

    def write(self, stem: Path) -> None:
        """Writes <stem>.{md,csv,tex}."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            replace_file(stem.with_name(f"{stem.name}.{suffix}"), text.encode(errors="replace"))

    def show(self) -> None:
        """Prints it."""
        table = Table(title=self.title, caption="\n".join(self.notes), caption_justify="left")
        for place, header in enumerate(self.headers):
            table.add_column(header, justify="left" if place < self.texts else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        Terminal().print(table)

    def markdown(self, unit: str = "") -> str:
        """unit: a line about all numbers, above the table."""
        lines = [self.headers, ["---"] * len(self.headers), *self.rows]
        table = "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in lines)
        notes = "\n".join(f"- {markdown(note)}" for note in self.notes)
        parts = [f"## {markdown(self.title)}", unit, table, notes]
        return "\n\n".join(part for part in parts if part) + "\n"

    def csv(self) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(csv_cell, line) for line in (self.headers, *self.rows))
        return text.getvalue()

    def latex(self) -> str:
        """For booktabs."""
        head, *body = (" & ".join(map(latex, line)) + r" \\" for line in (self.headers, *self.rows))
        lines = [
            *map(latex_comment, self.notes),
            r"\begin{table}[tp]",
            r"\centering",
            rf"\caption{{{latex(self.title)}}}",
            rf"\begin{{tabular}}{{{'l' * self.texts}{'r' * (len(self.headers) - self.texts)}}}",
            *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"
