"""Attributes are explained in a comment at the end of their line. On the site that is their description."""

from typing import Any

import griffe


class Comments(griffe.Extension):
    """Gives attributes without a docstring the words behind the `#` of their line."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if attr.docstring is None and not attr.is_private:
            _, found, words = attr.source.partition("  # ")
            if found:
                attr.docstring = griffe.Docstring(words.strip(), parent=attr)
