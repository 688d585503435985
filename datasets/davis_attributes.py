"""What makes each DAVIS sequence hard, as the file db_info.yml lists it (Perazzi et al. 2016, table 1)."""

import logging
from pathlib import Path
from typing import Any

from vosbench.util.errors import UserError
from vosbench.util.reading import reading
from vosbench.util.wording import printable

PLACES = ("Annotations", ".")  # folders of the root in which copies of the data set have it
NAMES = ("db_info.yml", "db_info.yaml")
WORDS = {
    "AC": "appearance change",
    "BC": "background clutter",
    "CS": "camera shake",
    "DB": "dynamic background",
    "DEF": "deformation",
    "EA": "edge ambiguity",
    "FM": "fast motion",
    "HO": "heterogeneous object",
    "IO": "interacting objects",
    "LR": "low resolution",
    "MB": "motion blur",
    "OCC": "occlusion",
    "OV": "out of view",
    "ROT": "rotation",
    "SC": "shape complexity",
    "SV": "scale variation",
}
log = logging.getLogger(__name__)


def attributes_in(root: Path) -> dict[str, list[str]]:
    """The attributes of each sequence, in words; empty without such a file, or with one that cannot be read."""
    path = next((root / place / name for place in PLACES for name in NAMES if (root / place / name).is_file()), None)
    if path is None:
        return {}
    try:
        return _attributes(_content(path))
    except UserError as error:
        log.warning("no attributes: %s", error)
        return {}


def _content(path: Path) -> Any:
    import yaml

    with reading(path, "", "restore or remove it"):
        return yaml.safe_load(path.read_text())


def _attributes(content: Any) -> dict[str, list[str]]:
    """The attributes of the sequences that have a name and a list of them."""
    listed = content.get("sequences") if isinstance(content, dict) else None
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    pairs = ((each.get("name"), each.get("attributes")) for each in entries)
    return {str(name): [_word(code) for code in codes] for name, codes in pairs if name and isinstance(codes, list)}


def _word(code: object) -> str:
    return printable(WORDS.get(str(code), str(code)))
