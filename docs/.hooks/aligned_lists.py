"""Docstrings of this project list parameters and attributes in two columns. On the site they become lists."""

import re
from typing import Any

import griffe

ROW = re.compile(r"(\S.*?) {2,}(\S.*)")  # a name, two spaces or more, and words about it


class AlignedLists(griffe.Extension):
    """Turns each paragraph that begins like a row of such a list into a list of Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            paragraphs = re.split(r"\n\s*\n", obj.docstring.value)
            obj.docstring.value = "\n\n".join(map(listed, paragraphs))


def listed(paragraph: str) -> str:
    """The paragraph, as a list if its first line is a row. Indented lines continue the row above."""
    lines = paragraph.splitlines()
    if not lines or ROW.fullmatch(lines[0]) is None:
        return paragraph
    rows = (ROW.fullmatch(line) for line in lines)
    return "\n".join(
        f"- `{row[1]}`: {row[2]}" if row else f"  {line.strip()}" for row, line in zip(rows, lines, strict=True)
    )
