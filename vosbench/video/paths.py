"""Paths of many files in one folder, in a fraction of the memory of as many Path objects."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload


class PathsIn(Sequence[Path]):
    """The paths of files by their names in a folder."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder, self._names = folder, names

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        if isinstance(index, slice):
            return PathsIn(self._folder, self._names[index])
        return self._folder / self._names[index]

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class PathsByStem(Mapping[str, Path]):
    """The paths of files by their stems in a folder."""

    def __init__(self, folder: Path, names: dict[str, str]) -> None:
        self._folder, self._names = folder, names

    def __getitem__(self, stem: str) -> Path:
        return self._folder / self._names[stem]

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, stem: object) -> bool:
        return stem in self._names

    def __repr__(self) -> str:
        return repr(dict(self))


def light_list(paths: Sequence[Path]) -> Sequence[Path]:
    """The same paths, lighter if they lie in one folder."""
    names = _names(paths)
    return tuple(paths) if names is None else PathsIn(paths[0].parent, names)


def light_mapping(paths: Mapping[str, Path]) -> Mapping[str, Path]:
    """The same paths by stem, lighter if they lie in one folder."""
    every = list(paths.values())
    names = _names(every)
    return dict(paths) if names is None else PathsByStem(every[0].parent, dict(zip(paths, names, strict=True)))


def _names(paths: Sequence[Path]) -> tuple[str, ...] | None:
    """The names of paths in one folder; None if there are several folders, or no paths."""
    parts = [os.path.split(path) for path in paths]
    return tuple(name for _, name in parts) if len({folder for folder, _ in parts}) == 1 else None
