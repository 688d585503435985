"""Reading lists that people and other programs wrote: any of Unicode's encodings, and any kind of line end."""

import codecs
import re
from pathlib import Path

from vosbench.util.errors import UserError

# UTF-32 comes first: its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in another of Unicode's encodings if a byte order mark says so.

    Raises UserError naming a file in another encoding.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8 (byte {error.start} does not fit): save it as UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path} is not text in UTF-8 (it has zero bytes): save it as UTF-8")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text, however they end. Raises UserError like `read_text`."""
    return re.split(r"\r\n|\r|\n", read_text(path))
