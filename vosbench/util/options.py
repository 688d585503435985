"""How keys of a verb's Options are declared."""

from typing import Annotated

Positive = Annotated[int, "1 or more"]  # a key of Options that makes no sense at 0; below 0 none does
