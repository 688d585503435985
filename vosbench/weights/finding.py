"""The file of weights that `checkpoint=` or `init=` means."""

from dataclasses import dataclass
from pathlib import Path

from vosbench.util.errors import UserError
from vosbench.util.hub import fetched, is_on_hub
from vosbench.weights.index import index


@dataclass(frozen=True)
class Found:
    """A file of weights, and its name in records: a shipped name, hf:<owner>/<repo>/<file>@<commit>, or the file's."""

    path: Path
    name: str


def find(checkpoint: str, key: str = "checkpoint") -> Found:
    """The file that `checkpoint` (a file, a run folder, a shipped name or hf:<owner>/<repo>/<file>) means.

    key  the option's name, for errors

    Raises UserError if there is none, if shipped weights are not those of the index, or as `util.hub.fetched` does.
    """
    if is_on_hub(checkpoint):
        file = fetched(checkpoint)
        return Found(file.path, file.name)
    folder = Path(checkpoint)
    for path in (folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt", folder):
        if path.is_file():
            return Found(path, path.name)
    if checkpoint in index():
        return Found(index()[checkpoint].checked(), checkpoint)
    raise UserError(
        f"{key}={checkpoint} is no file, no run folder with checkpoints/, no hf:<owner>/<repo>/<file>, and no shipped "
        f"name ({', '.join(index())}); {key}=none is untrained"
    )
