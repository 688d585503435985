"""What to do about a method without trained weights."""

from vosbench.weights.index import index


def warning(algorithm: str, choice: str) -> str:
    """A line about random weights: which weights ship for such a method, and how it is trained.

    algorithm  the method's own name
    choice     words of a command that choose the method and its network
    """
    shipped = [entry.facts.choice for entry in index().values() if entry.facts.algorithm == algorithm]
    instead = f"take {' or '.join(shipped)}, whose weights ship with vosbench, or " if shipped else ""
    return (
        f"untrained: method {algorithm} has random weights (checkpoint=none is its default), so scores say nothing of "
        f"the method: {instead}train it with `vosbench train {choice}` and give the checkpoint= that its last line "
        "names; checkpoint=none means random weights"
    )
