"""`vosbench <verb> --help`: what a verb does, its config groups and recipes, and its keys with the comments of their
YAML files."""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from vosbench.cli import configuration

RECIPES = ("experiment", "sweep")  # groups whose options are explained, too
COMMENTS, WIDTH = 40, 120  # the column where comments begin, if there is room, and where lines end


def explanation(verb: str, summary: str, changes: Sequence[str]) -> str:
    """A verb's help. Values are the defaults, changed by any overrides: `vosbench train method=mamp --help`."""
    config = configuration.compose(verb, changes, partial=True)
    options = configuration.groups(config)
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    shown = [name for name in options if name not in RECIPES or "method" in options]  # recipes are of methods
    groups = {name: options[name] for name in sorted(shown, key=lambda name: name in RECIPES)}
    return (
        f"vosbench {verb}: {summary}\n\n{_docstring(verb)}\n\n"
        f"usage: vosbench {verb} [key=value …] [-m] [--config-dir FOLDER]\n"
        "  -m                   key=a,b runs the command for a and for b (every combination of such lists)\n"
        "  --config-dir FOLDER  finds configs and Python modules of your own there; may be repeated\n"
        "  HYDRA_FULL_ERROR=1   in the environment shows where in the code an error comes from\n\n"
        + _keys(verb, config, {str(name): str(option) for name, option in chosen.items()})
        + f"\ngroups, as group=option ([] is chosen)\n{''.join(_groups(groups, chosen))}"
    ).rstrip()


def comments(text: str, above: str = "") -> dict[str, str]:
    """The comments of a YAML file by dotted key. Lines with nothing but a comment go on with the one before."""
    found: dict[str, str] = {}
    open_keys: list[tuple[int, str]] = []
    key = ""
    for line in text.splitlines():
        comment = re.search(r"(?:^|\s)#\s*(.*)$", line)
        if named := re.match(r"( *)([\w.]+):(?:\s|$)", line):
            depth = len(named[1])
            open_keys = [each for each in open_keys if each[0] < depth]
            key = ".".join([above, *(name for _, name in open_keys), named[2]]).lstrip(".")
            open_keys.append((depth, named[2]))
            if comment:
                found[key] = comment[1]
        elif comment and key in found and line.startswith(" "):
            found[key] += f" {comment[1]}"
        elif line.strip():
            key = ""
    return found


def headline(text: str) -> str:
    """The first sentence of the comment that a YAML file begins with."""
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#") and not line.startswith("# @")]
    return re.split(r"(?<=\.) ", " ".join(lines), maxsplit=1)[0].rstrip(".") if lines else ""


def _keys(verb: str, config: DictConfig, chosen: Mapping[str, str]) -> str:
    """The keys of the verb's own file first, then all others."""
    own = [key.partition(".")[0] for key in _top_level(_text(f"{verb}.yaml"))]
    with open_dict(config):
        del config["hydra"]
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    values = {str(key): value for key, value in content.items()}
    said = _said(verb, chosen)
    first = {key: values[key] for key in own if key in values}
    others = {key: value for key, value in values.items() if key not in first}
    parts = ((f"keys of {verb}", first), ("keys of what it uses", others))
    return "\n".join(f"{title}\n{''.join(_lines(part, said))}" for title, part in parts if part)


def _said(verb: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """The comments on all keys: those of the verb's file and what it builds on win over those of the chosen options."""
    found: dict[str, str] = {}
    for name, option in chosen.items():
        group, _, package = name.partition("@")
        found |= _said_in(f"{group}/{option}", (package or group).replace("/", "."))
    return found | _said_in(verb, "")


def _said_in(file: str, place: str) -> dict[str, str]:
    """The comments of a file, and of those beside it that it builds on."""
    text, folder = _text(f"{file}.yaml"), file.rpartition("/")[0]
    found: dict[str, str] = {}
    for base in re.findall(r"^  - (?!_self_)(\w+)$", text, re.MULTILINE):
        found |= _said_in(f"{folder}/{base}".lstrip("/"), place)
    return found | comments(text, "" if "@package _global_" in text else place)


def _lines(values: Mapping[str, Any], said: Mapping[str, str], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        key, indent = f"{above}{name}", "  " * (1 + above.count("."))
        inside = value if isinstance(value, dict) and value else None
        text = f"{indent}{name}:" if inside else f"{indent}{name}: {_inline(value)}"
        yield from _commented(text, said.get(key, ""))
        if inside:
            yield from _lines({str(each): inner for each, inner in inside.items()}, said, f"{key}.")


def _commented(text: str, comment: str) -> Iterator[str]:
    """A line with its comment, which may take several."""
    lines = textwrap.wrap(comment, WIDTH - COMMENTS - 2) or [""]
    yield f"{text:<{COMMENTS - 2}}  # {lines[0]}\n" if comment else f"{text}\n"
    yield from (f"{'':<{COMMENTS}}# {line}\n" for line in lines[1:])


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _top_level(text: str) -> list[str]:
    return re.findall(r"^(\w+):", text, re.MULTILINE)


def _groups(options: Mapping[str, Sequence[str]], chosen: Mapping[Any, Any]) -> Iterator[str]:
    width = max(map(len, options), default=0)
    for name, known in options.items():
        if name not in RECIPES:
            line = f"  {name:<{width}}  {' '.join(_marked(each, chosen[name]) for each in known) or '-'}"
            rest = " " * (width + 4)
            yield textwrap.fill(line, WIDTH, subsequent_indent=rest, break_on_hyphens=False) + "\n"
            continue
        yield f"\n{name}=\n"
        longest = max(map(len, known), default=0) + 2
        for each in known:
            line = f"  {_marked(each, chosen[name]):<{longest}}  {headline(_text(f'{name}/{each}.yaml'))}"
            yield textwrap.fill(line, WIDTH, subsequent_indent=" " * (longest + 4), break_on_hyphens=False) + "\n"


def _marked(option: str, chosen: Any) -> str:
    return f"[{option}]" if option == chosen else option


def _text(name: str) -> str:
    """A config file, one's own or ours; "" if there is none."""
    places = [*(Path(folder) for folder in configuration.own_folders()), files("vosbench.conf")]
    found = next((place for place in (each.joinpath(name) for each in places) if place.is_file()), None)
    return "" if found is None else found.read_text(encoding="utf-8")


def _docstring(verb: str) -> str:
    """A task's docstring, read without importing the task: that would import torch."""
    source = files("vosbench.tasks") / f"{verb}.py"
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "") if source.is_file() else ""
