"""Small tables of text with a title and notes: the paper's beside ours, and what a sweep came to."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.table import Table

from vosbench.evaluation.results.escaping import csv_cell, latex, latex_comment, markdown
from vosbench.util.files import replace_file
from vosbench.util.terminal import Terminal

NUMBER = re.compile(r"[−+-]?[\d.]+")
FRAME = 3  # characters around each cell of a printed table


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
        terminal = Terminal()
        widths = self._widths(terminal.width)
        hidden = [header for place, header in enumerate(self.headers) if place not in widths]
        notes = [*([f"Too narrow for {', '.join(hidden)}: see the files."] if hidden else []), *self.notes]
        table = Table(title=self.title, caption="\n".join(notes), caption_justify="left")
        for place, width in widths.items():
            justify: Literal["left", "right"] = "left" if place < self.texts else "right"
            table.add_column(self.headers[place], justify=justify, overflow="fold", width=width)
        for row in self.rows:
            table.add_row(*(row[place] for place in widths))
        terminal.print(table)

    def _widths(self, room: int) -> dict[int, int]:
        """The widths of the columns that there is room for without breaking words, by their place.

        Where there is too little, columns of text go first, and then numbers, from the right. The first column stays.
        """
        columns = list(zip(self.headers, *self.rows, strict=True))
        widths = {place: max(map(_longest_word, column)) for place, column in enumerate(columns)}
        numeric = [any(NUMBER.fullmatch(cell) for cell in column[1:]) for column in columns]
        for place in sorted(list(widths)[1:], key=lambda place: (numeric[place], -place)):
            if _spare(widths, room) >= 0:
                break
            del widths[place]
        for place, width in widths.items():
            more = min(_spare(widths, room), max(map(len, columns[place])) - width)
            widths[place] += max(0, more)
        return widths

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


def _spare(widths: Mapping[int, int], room: int) -> int:
    """The characters that are left on a line."""
    return room - 1 - sum(FRAME + width for width in widths.values())


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
