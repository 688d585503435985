"""`vosbench completion bash`, `zsh` or `fish`: prints a script with which this shell completes vosbench's commands. Its
first line says where to put it."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from vosbench.cli.suggestions import suggestions
from vosbench.cli.verbs import VERBS
from vosbench.settings.options import Where


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/completion.yaml, which explains them."""

    shell: Literal["bash", "zsh", "fish"]
    line: Where[str | None]


def run(options: Options) -> None:
    if options.line is None:
        print(files("vosbench.cli").joinpath("shells", f"{options.shell}.sh").read_text(encoding="utf-8"), end="")
    else:
        print("\n".join(suggestions(options.line, list(VERBS))))
