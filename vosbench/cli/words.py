"""The words of a command, `key=value`, as the shell hands them over: values that are text are quoted for Hydra.

Hydra reads values by a grammar of its own, in which a comma separates values, 007 is a number, and brackets and equals
signs have a meaning. Where the option's declaration asks for text, that is not what people mean.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException

from vosbench.settings.option_types import LISTS, kinds_of
from vosbench.settings.options import NamesAFile, Role

WORD = re.compile(r"(\+{0,2}[^=+~][^=]*)=(.*)", re.DOTALL)
PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.-]*")  # Hydra reads it as it is, or as null or a boolean
WORDS = ("null", "true", "false", "inf", "nan")  # unless Hydra reads one of these
PART = re.compile(  # one of several values with commas between them
    r"""(?:^|,)((?:\s*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\[[^\]]*\])(?=\s*(?:,|$)))|(?:\\.|[^,])*)""", re.DOTALL
)

_typed: dict[str, str] = {}  # a word as Hydra reads it → as it was typed


class Asked(NamedTuple):
    """What the declaration of an option asks for. file: a file's or folder's name; text: any text, but no number;
    names: a list of texts."""

    file: bool
    text: bool
    names: bool

    @property
    def taken(self) -> bool:
        """Whether any kind of text is asked for."""
        return any(self)

    @classmethod
    def by(cls, hint: Any) -> "Asked":
        kinds = kinds_of(hint)
        types = {kind.type for kind in kinds}
        lists = [kind.type for kind in kinds if get_origin(kind.type) in LISTS]
        return cls(
            file=any(kind.type is Path or (kind.type is str and _names_a_file(kind.beside)) for kind in kinds),
            text=str in types and not types & {int, float, bool},
            names=any(kind.type is str for each in lists for kind in kinds_of(get_args(each)[0])),
        )


def _names_a_file(beside: Sequence[Any]) -> bool:
    return any(isinstance(each, NamesAFile) or each is Role.CONTENT for each in beside)


def for_hydra(words: Sequence[str], hint_of: Callable[[str], Any], *, varied: bool) -> list[str]:
    """The words as Hydra's grammar has to be given them, so that text stays what was typed.

    hint_of  the annotation of a dotted key; Any if it is unknown
    varied   commas separate the values of a sweep

    The name of a file is taken literally, unless it is quoted, null or an interpolation and there is no file of that
    very name. Other text is quoted if Hydra would read it as a number or boolean, or not at all.
    """
    return [_word(word, hint_of, varied) for word in words]


def as_typed(word: str) -> str:
    """A word that Hydra was given, as it was typed."""
    return _typed.get(word, word)


def forget() -> None:
    """Forgets the words of earlier commands of this process."""
    _typed.clear()


def quoted(text: str) -> str:
    """A text in quotes of Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def spelled(text: str) -> str:
    """A text as the value of a word, quoted if it has signs of the grammar."""
    return text if re.fullmatch(r"[\w./-]+", text, re.ASCII) else quoted(text)


def _word(word: str, hint_of: Callable[[str], Any], varied: bool) -> str:
    found = WORD.fullmatch(word)
    if found is None or _is_plain(found[2]):
        return word
    key, value = found.groups()
    asked = Asked.by(hint_of(re.sub(r"[/:]", ".", key.lstrip("+").split("@")[0])))
    typed = _several(value, asked) if varied else [value]
    given = [_value(each, asked, varied=varied and len(typed) == 1) for each in typed]
    if len(typed) > 1 and asked.file:  # Hydra lists the values of a sweep with escapes, unless they are quoted
        given = [each if PLAIN.fullmatch(each) or _is_quoted(each) else quoted(each) for each in given]
    _typed.update({f"{key}={new}": f"{key}={old}" for new, old in zip(given, typed, strict=True) if new != old})
    return f"{key}={','.join(given)}"


def is_plain(word: str) -> bool:
    """Whether the grammar reads a word as it is, whatever it is for."""
    found = WORD.fullmatch(word)
    return found is None or _is_plain(found[2])


def _is_plain(value: str) -> bool:
    return value in ("", "???") or (PLAIN.fullmatch(value) is not None and value.lower() not in WORDS)


def _value(value: str, asked: Asked, varied: bool) -> str:
    if asked.file and value.lower() == "null":
        return value
    if asked.file and os.path.lexists(value):
        return _literal(value)
    if asked.names and value[:1] == "[" and value[-1:] == "]":
        names = [_text(part.strip(), null=False) for part in _parts(value[1:-1]) if part.strip()]
        return f"[{','.join(names)}]"
    if asked.file:
        return _file(value, varied)
    return _text(value, null=True) if asked.text else value


def _file(value: str, varied: bool) -> str:
    """A file's name that does not exist, or not yet."""
    override = _parsed(value)
    read = None if override is None else override.value()
    is_function = override is not None and override.is_sweep_override() and "(" in value  # choice(a,b)
    if (varied and is_function) or _is_quoted(value):
        return value
    if isinstance(read, str) and os.path.lexists(read):
        return value  # its name has signs that are escaped as the grammar asks
    if not re.search(r"\$\{.+\}", value):
        return _literal(value)
    return value if isinstance(read, str) else quoted(value)  # a quoted interpolation is still one


def _text(value: str, *, null: bool) -> str:
    """Other text, such as a name."""
    read = _parsed(value)
    if read is None:
        return quoted(value)
    if read.is_sweep_override() or (null and read.value() is None):
        return value
    return quoted(value) if read.value() is None or isinstance(read.value(), bool | int | float) else value


def _literal(value: str) -> str:
    """A value that Hydra, and then OmegaConf, read as exactly this text."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    read = _parsed(text)
    same = read is not None and not read.is_sweep_override() and read.value() == text and not _is_quoted(text)
    return text if same else quoted(text)


def _is_quoted(value: str) -> bool:
    return value[:1] in ("'", '"') and (read := _parsed(value)) is not None and isinstance(read._value, QuotedString)


def _several(value: str, asked: Asked) -> list[str]:
    """The values of a sweep over text; just one if it has no plain commas, or is a file's name as it stands."""
    if not asked.taken or (asked.file and os.path.lexists(value)):
        return [value]
    read = _parsed(value)
    is_list = read is None or read.value_type is ValueType.SIMPLE_CHOICE_SWEEP
    return _parts(value) if is_list else [value]


def _parts(value: str) -> list[str]:
    """What stands between commas that are neither quoted nor in brackets."""
    return [part.strip() for part in PART.findall(value)]


def _parsed(value: str) -> Override | None:
    """A value as Hydra reads it; None if it cannot."""
    try:
        return OverridesParser.create().parse_override(f"k={value}")
    except HydraException:
        return None
