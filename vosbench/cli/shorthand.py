"""What is shorter to type than `key=value`: `vosbench new method=mine`, `vosbench completion bash`."""

from collections.abc import Sequence


def written_out(verb: str, words: Sequence[str]) -> list[str]:
    """The words of a command as overrides of the verb's keys."""
    if verb == "new":  # method= is a group of other verbs, to Hydra
        return [f"method.name{word.removeprefix('method')}" if word.startswith("method=") else word for word in words]
    if verb == "completion":
        return [word if "=" in word else f"shell={word}" for word in words]
    return list(words)
