"""`vosbench <verb> --help` explains keys in the words of their YAML files, and wrong keys get a hint."""

import re
from itertools import takewhile

import pytest

from vosbench.cli import configuration
from vosbench.cli.helping import comments, explanation, headline
from vosbench.cli.verbs import VERBS
from vosbench.util.errors import UsageError

TEXT = """# @package _global_
# A recipe: for tests. It has no use.
defaults:
  - base

size: 4          # in pixels
inside:          # of it
  deep:
    value: 1     # the deepest,
                 # as far as known
  other: [1, 2]
plain: text
"""


def test_comments_by_key() -> None:
    assert comments(TEXT) == {
        "size": "in pixels",
        "inside": "of it",
        "inside.deep.value": "the deepest, as far as known",
    }
    assert comments("radius: 3   # in cells", "method") == {"method.radius": "in cells"}


def test_the_first_sentence_of_a_file() -> None:
    assert headline(TEXT) == "A recipe: for tests"
    assert headline("# One thing, said in\n# two lines. And another.\na: 1") == "One thing, said in two lines"
    assert headline("a: 1") == ""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "doctor"])  # it has none
def test_own_keys_come_first_and_are_explained(verb: str) -> None:
    lines = explanation(verb, VERBS[verb], []).splitlines()
    own = list(takewhile(str.strip, lines[lines.index(f"keys of {verb}") + 1 :]))
    assert own
    keys = [line for line in own if re.match(r"  \w", line)]
    assert [line for line in keys if "#" not in line] == []


def test_values_are_those_of_the_command() -> None:
    text = explanation("predict", VERBS["predict"], ["fps=12", "memory.long=[7]"])
    assert "  fps: 12    " in text
    assert "# of that mp4; null: the video's own" in text
    assert "    long: [7]    " in text
    assert "# frames with these numbers" in text
    assert "with checkpoint=none" not in explanation("train", VERBS["train"], [])  # the seed of another verb
    recipe = next(line for line in text.splitlines() if line.startswith("  mamp/paper "))
    assert "MAMP's training" in recipe


@pytest.mark.parametrize(
    ("verb", "change", "message"),
    [
        ("train", "max_steps=10", "unknown key 'max_steps': did you mean 'trainer.max_steps'?"),
        ("train", "lr=0.1", "unknown key 'lr': did you mean 'optimizer.lr'?"),
        ("predict", "short_side=240", "unknown key 'short_side': did you mean 'inference.short_side'?"),
        ("train", "method=MAMP", "unknown method 'MAMP' (did you mean 'mamp'?)"),
        ("export", "license=mine", "unknown key 'license' (did you mean 'licence'?)"),
    ],
)
def test_a_wrong_key_gets_a_hint(verb: str, change: str, message: str) -> None:
    with pytest.raises(UsageError) as found:
        configuration.compose(verb, [change])
    assert str(found.value).startswith(message)
