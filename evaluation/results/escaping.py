r"""Foreign text in files that other programs take for more than text: spreadsheets, Markdown, LaTeX.

Records come from other people. Their names are shown as they are, and do nothing: no formula, no HTML, no \input.
Control characters are spelt out when a record is read.
"""

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which spreadsheets start a formula
LATEX = {
    "Δ": r"$\Delta$",
    "†": r"$\dagger$",
    "–": "--",
    "…": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "∗": r"$\ast$",
    "∆": r"$\Delta$",
    "‡": r"$\ddagger$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def csv_cell(value: object) -> object:
    """The value of a cell; text that a spreadsheet would calculate gets an apostrophe in front. Numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value) else value


def markdown(text: str) -> str:
    """Text for a paragraph or a cell of a table, without markup, links and HTML."""
    return re.sub(r"([\\`*|<>]|\](?=\())", r"\\\1", text)


def latex(text: str) -> str:
    """Text for a paragraph or a cell of a table. A bracket or star that comes first would belong to the line break
    before it."""
    escaped = re.sub(r"[&%$#_{}^\\~<>Δ†–…±×−∗∆‡✓✗]", lambda found: LATEX.get(found[0], f"\\{found[0]}"), text)
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped


def latex_comment(text: str) -> str:
    """A comment, which ends with its line."""
    return f"% {' '.join(text.split())}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
