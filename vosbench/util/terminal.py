"""Where commands print tables: foreign names in them are text, neither markup nor commands to the terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from vosbench.util.wording import printable


class Terminal(Console):
    """rich's console. All text of a table passes `render_str`, which spells out control characters."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(printable(text, keep="\n"), **settings)
