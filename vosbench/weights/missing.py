"""What to do about a method without trained weights."""

from typing import Any

from vosbench.method import Method
from vosbench.weights.index import index
from vosbench.weights.origin import name_of


def warning(method: Method[Any, Any], choice: str) -> str:
    """A line about random weights: which weights ship for such a method, and how it is trained on the embedded data.

    choice  words of a command that choose the method and its network
    """
    algorithm, labels = name_of(method), " data.clips.labels=true" * (method.supervision == "supervised")
    shipped = [entry.facts.choice for entry in index().values() if entry.facts.algorithm == algorithm]
    instead = f"take {' or '.join(shipped)}, whose weights ship with vosbench, or " if shipped else ""
    return (
        f"untrained: {choice} has random weights (checkpoint=none is its default), so scores say nothing of the "
        f"method: {instead}train it with `vosbench train {choice}{labels}` and give the checkpoint= that its last "
        "line names"
    )
