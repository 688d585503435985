"""What makes two results the same: the code, settings, videos and weights that they were made from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vosbench.runs.added import completed
from vosbench.util.plain import misfits
from vosbench.util.wording import some

FIELDS = {"code": dict[str, str], "recipe": dict[str, str], "data": str, "weights": str}
BY_CONTENT = "content-"  # how digests of data begin; earlier versions told frames by names and sizes of files
EARLIER = "an earlier version of vosbench, which did not note what results are made from"


@dataclass(frozen=True)
class Fingerprint:
    """What a result was made from. Results with equal fingerprints are the same result.

    code     a digest of the source by module (`runs.code.sources`)
    recipe   the settings that are part of the result, as text by dotted key (`runs.recipe.settings`)
    data     a digest of the videos, or whatever else the result is about (`data_digest`)
    weights  a digest of the weights; "seed-0" where they are random; "" where there are none
    """

    code: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    weights: str = ""

    @classmethod
    def read(cls, content: Any) -> "Fingerprint":
        """The inverse of `asdict`; an empty fingerprint, which equals no other, for what an earlier version wrote."""
        known = isinstance(content, Mapping) and content.keys() == FIELDS.keys() and not misfits(content, FIELDS)
        return cls(**content) if known else cls()

    def asdict(self) -> dict[str, Any]:
        """As plain data, for a file."""
        return asdict(self)

    def digest(self) -> str:
        return digest(self.asdict())

    def differs_only_in_code(self, made: "Fingerprint") -> bool:
        """Whether `made` has the same settings, data and weights but other code. That includes results of earlier
        versions that told data apart by other means: whether theirs was the same cannot be known."""
        same_data = self.data == made.data or self._tells_data_otherwise(made)
        settings = completed(made.recipe, self.recipe)
        return self != made and same_data and (self.recipe, self.weights) == (settings, made.weights)

    def differences(self, made: "Fingerprint", data: str = "the data") -> list[str]:
        """How `made` differs from this: settings as `data.batch_size 2 → 4`, everything else by name. `data`: the name
        of the data."""
        if made == Fingerprint():
            return [EARLIER]
        before = completed(made.recipe, self.recipe)
        found = [
            f"{key} {before.get(key, 'not set')} → {self.recipe.get(key, 'not set')}"
            for key in sorted({*self.recipe, *before})
            if self.recipe.get(key) != before.get(key)
        ]
        found += ["the weights"] if self.weights != made.weights else []
        told = ", which it told by names and sizes of files" if self._tells_data_otherwise(made) else ""
        found += [f"{data}{told}"] if self.data != made.data else []
        return [*found, *([f"the code of {some(self.changed_modules(made))}"] if self.code != made.code else [])]

    def _tells_data_otherwise(self, made: "Fingerprint") -> bool:
        return self.data.startswith(BY_CONTENT) and not made.data.startswith(BY_CONTENT)

    def changed_modules(self, made: "Fingerprint") -> list[str]:
        """The modules whose source differs."""
        return sorted(name for name in {*self.code, *made.code} if self.code.get(name) != made.code.get(name))


def digest(content: Any) -> str:
    """A digest of plain data, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def data_digest(content: Any) -> str:
    """The same of data that a result is made from, for `Fingerprint.data`."""
    return BY_CONTENT + digest(content)


def combined(digests: Mapping[str, str] | Sequence[str]) -> str:
    """One digest of several."""
    return digest(dict(digests) if isinstance(digests, Mapping) else list(digests))
