"""Matching that is global in some references and local in the others: restricted to cells near the query's own.

Local windows are disks or squares, and cells outside of the picture do not exist. For local windows that extend beyond
the picture, or that follow a flow, see `ops.affinity`.

Queries are handled in blocks (see `ops.candidates`): nothing of size NHW × HW is ever formed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.best import Best
from vosbench.ops.candidates import Candidates
from vosbench.ops.top_k import Ties
from vosbench.ops.windows import CHUNK, Window
from vosbench.util.errors import UserError

MOST_FUSED = 32  # candidates that the fused kernel keeps


@dataclass(frozen=True)
class Matches:
    """The best candidates of each query: their weights, which sum to 1, and where they are.

    size        (height, width) of the grid; queries are its cells, row-major
    references  indices in the sequence of keys
    cells       row-major indices in those references
    """

    size: tuple[int, int]
    weights: Float[Tensor, "q k"]
    references: Int[Tensor, "q k"]
    cells: Int[Tensor, "q k"]


def global_local_readout(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    values: Sequence[Float[Tensor, "1 n h w"]],
    *,
    unrestricted: Sequence[bool],
    radius: float = 12,
    temperature: float = 0.05,
    top_k: int | None = 10,
    window: Window = "disk",
    chunk: int = CHUNK,
) -> Float[Tensor, "1 n h w"]:
    """What the references hold where they resemble the query: Aᵀ·values (mask embedding, equations 6 to 8).

    A is the softmax of cosine / `temperature` over the `top_k` best candidates of all references together, or over all
    candidates (None: as in training). Everything is computed in float32, even under autocast, and is differentiable.

    query, keys   of unit norm along c
    unrestricted  for each reference, whether all of its cells are candidates, and not only those near the query's own
    radius        in cells. disk: candidates are nearer than this; closed_disk: at most this far; square: at most this
                  far along each axis. Cells outside of the picture do not exist.
    top_k         where there are fewer candidates, all of them
    chunk         affinities, or numbers read, that are held at a time (at least those of one query)

    To read several values with one search, use `match` and `read`. Raises ValueError for a radius that leaves no
    candidate, and for a `top_k` or temperature that is not positive.
    """
    if top_k is not None:
        matches = match(
            query,
            keys,
            unrestricted=unrestricted,
            radius=radius,
            temperature=temperature,
            top_k=top_k,
            window=window,
            chunk=chunk,
        )
        return read(matches, values, chunk=chunk)
    with torch.autocast(query.device.type, enabled=False):
        candidates = Candidates.prepare(query, keys, unrestricted, radius, temperature, window, chunk)
        held = torch.cat([values[i][0].flatten(1).T.float() for i in candidates.order])
        parts = [affinity.softmax(1) @ held[rows] for affinity, rows in candidates.affinities()]
        return _maps(torch.cat(parts)[candidates.undo()], candidates.size)


def match(
    query: Float[Tensor, "1 c h w"],
    keys: Sequence[Float[Tensor, "1 c h w"]],
    *,
    unrestricted: Sequence[bool],
    radius: float = 12,
    temperature: float = 0.05,
    top_k: int = 10,
    window: Window = "disk",
    ties: Ties = "topk",
    fused: bool = False,
    chunk: int = CHUNK,
) -> Matches:
    """The `top_k` best candidates of every query. See `global_local_readout` for other arguments.

    ties  topk: of candidates that are as good as the k-th, an arbitrary choice fills the k places; kept: all of them
          take part. There are then as many columns as the query with most candidates needs, up to all candidates.
    fused  in one kernel on a GPU, without gradients. Needs triton, a `top_k` of at most 32, and ties="topk"
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if fused and ties == "kept":
        raise ValueError("fused matching does not keep ties")
    with torch.autocast(query.device.type, enabled=False):
        candidates = Candidates.prepare(query, keys, unrestricted, radius, temperature, window, chunk)
        best = _fused_search(candidates, top_k) if fused else candidates.best(top_k, ties)
        references = torch.tensor(candidates.order, device=query.device)[best.rows // candidates.cells]
        return Matches(candidates.size, best.affinities.softmax(1), references, best.rows % candidates.cells)


def _fused_search(candidates: Candidates, top_k: int) -> Best:
    try:
        from vosbench.ops.fused_matching import fused_search
    except ImportError as error:
        raise UserError("fused=true needs triton, which is not installed: leave it out") from error
    return fused_search(candidates, top_k)


def read(
    matches: Matches, values: Sequence[Float[Tensor, "1 n h w"]], *, chunk: int = CHUNK
) -> Float[Tensor, "1 n h w"]:
    """Each query's weighted sum of the references' values where it matched, in float32.

    Values are gathered from each reference and never stacked, since they may have hundreds of channels.

    chunk  numbers read at a time (at least those of one query)
    """
    q, k = matches.weights.shape
    n = values[0].shape[1]
    if matches.references.max() >= len(values):
        raise ValueError(f"values of {len(values)} references, but matches in more")
    step = max(1, chunk // (k * n))
    with torch.autocast(matches.weights.device.type, enabled=False):
        parts = [
            _read(matches.weights[i : i + step], matches.references[i : i + step], matches.cells[i : i + step], values)
            for i in range(0, q, step)
        ]
    return _maps(torch.cat(parts), matches.size)


def _read(
    weights: Float[Tensor, "q k"],
    references: Int[Tensor, "q k"],
    cells: Int[Tensor, "q k"],
    values: Sequence[Float[Tensor, "1 n h w"]],
) -> Float[Tensor, "q n"]:
    chosen = weights.new_empty(*weights.shape, values[0].shape[1])
    for i, value in enumerate(values):
        here = references == i
        chosen[here] = value[0].flatten(1).T[cells[here]].float()
    return (weights.unsqueeze(1) @ chosen).squeeze(1)


def _maps(rows: Float[Tensor, "q n"], size: tuple[int, int]) -> Float[Tensor, "1 n h w"]:
    return rows.T.reshape(1, -1, *size)
