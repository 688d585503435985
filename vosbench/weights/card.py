"""Model cards of weights, in Markdown, with the front matter that the Hugging Face Hub reads."""

import re
from collections.abc import Iterator, Sequence

import yaml

from vosbench.weights.index import Facts, Score

# The Hub's names of licences, as far as weights tend to have them.
LICENCES = {
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "cc0-1.0", "unlicense"),
    *(
        f"cc-by{terms}-{version}"
        for terms in ("", "-sa", "-nc", "-nd", "-nc-sa", "-nc-nd")
        for version in ("3.0", "4.0")
    ),
}
UNKNOWN = "unknown"


def card(name: str, size: int, facts: Facts, checkpoint: str | None = None) -> str:
    """The model card of a file of `size` bytes, which is called `name`.

    checkpoint  what is typed to use it; None: nothing, it is the default of its method
    """
    given = f" checkpoint={checkpoint}" if checkpoint else ""
    parts = [
        f"---\n{front_matter(facts)}---",
        f"# {name}",
        facts.notes,
        _code([f"vosbench predict {facts.choice}{given} input=video.mp4 mask=first.png overlay=true"]),
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _rows(size, facts))]),
        *_section(
            "Training", _code(facts.recipe) if facts.recipe else "The checkpoint does not say how it was trained."
        ),
        *_section("Scores", "\n\n".join(map(_scores, facts.scores))),
        *_section("Intended use", facts.use),
        *_section("Limits", facts.limits),
        *_section("Exactness", facts.exactness),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(facts: Facts) -> str:
    """The card's facts for the Hub, in YAML."""
    tags = ["video-object-segmentation", facts.algorithm, facts.supervision]
    data = {**licence(facts.licence), "library_name": "vosbench", "pipeline_tag": "image-segmentation", "tags": tags}
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def licence(text: str) -> dict[str, str]:
    """The Hub's name of a licence that `text` begins with ("CC BY-NC 4.0, as DAVIS"), or `other` and the text."""
    words = re.sub(r"[\s-]+", "-", re.split(r"[,;:(]", text)[0].strip().lower())
    return {"license": words} if words in LICENCES else {"license": "other", "license_name": text}


def _rows(size: int, facts: Facts) -> Iterator[tuple[str, str]]:
    yield "method", f"`{facts.algorithm}` (`{facts.choice}`)"
    yield "parameters", f"{facts.parameters:,} ({size / 1e6:.1f} MB)"
    yield "supervision", facts.supervision
    yield "trained on", ", ".join(facts.data) or UNKNOWN
    yield "steps", UNKNOWN if facts.steps is None else f"{facts.steps:,}"
    if facts.hours is not None:
        yield "hours", f"{facts.hours:.1f}" if facts.hours >= 0.1 else "less than 0.1"
    yield "licence of the weights", facts.licence


def _scores(score: Score) -> str:
    values = [f"{name} {value:.1f}" for name, value in score.values.items()]
    if score.interval is not None:
        values[0] += " [{:.1f}, {:.1f}]".format(*score.interval)
    told = "percent" if score.interval is None else "percent, with 95 % by bootstrap"
    return f"{', '.join(values)} ({told}; {score.where}), by:\n\n{_code([score.command])}"


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```", *lines, "```"])
