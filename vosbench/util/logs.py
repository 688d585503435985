"""How lines of the log look."""

import logging

from vosbench.util.wording import printable


class Plain(logging.Formatter):
    """Spells out control characters of messages, which may hold foreign names. Tracebacks stay as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record), keep="\n\t")
