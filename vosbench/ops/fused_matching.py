"""Matching for GPUs in one kernel: windows, products and the best candidates, without affinities in memory.

A program handles a tile of queries. It goes through the cells that their windows reach, some at a time, and keeps each
query's best so far. It needs triton, and a GPU unless TRITON_INTERPRET=1 was set before triton was imported.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from triton import knobs

from vosbench.ops.best import Best
from vosbench.ops.candidates import Candidates
from vosbench.ops.matching import MOST_FUSED
from vosbench.ops.windows import window_reach
from vosbench.util.errors import UserError

TILE = 4  # side of a tile of queries
WINDOWS = {"square": 0, "disk": 1, "closed_disk": 2}


def fused_search(candidates: Candidates, top_k: int) -> Best:
    """As `Candidates.best`. Raises ValueError for too many candidates, UserError without a GPU."""
    if top_k > MOST_FUSED:
        raise ValueError(f"fused matching keeps at most {MOST_FUSED} candidates, not {top_k}")
    if not (candidates.queries.is_cuda or knobs.runtime.interpret):
        raise UserError("fused=true needs a GPU, or TRITON_INTERPRET=1 in the environment: leave it out")
    (h, w), count = candidates.size, len(candidates.keys) * candidates.cells
    queries, keys = candidates.queries.contiguous(), torch.stack(list(candidates.keys))
    k = min(top_k, count)
    best = queries.new_empty(h * w, k)
    rows = torch.empty(h * w, k, dtype=torch.long, device=best.device)
    reach = window_reach(candidates.radius, candidates.window)
    _search[(triton.cdiv(h, TILE) * triton.cdiv(w, TILE),)](
        queries,
        keys,
        best,
        rows,
        h,
        w,
        keys.shape[-1],
        len(keys),
        candidates.far,
        reach,
        float(candidates.radius) ** 2,
        k,
        KEPT=triton.next_power_of_2(k),
        WINDOW=WINDOWS[candidates.window],
        SIDE=TILE,
        CELLS=64,
        CHANNELS=32,
    )
    return Best(best, rows)


@triton.jit  # type: ignore[untyped-decorator]
def _search(
    queries: Any,
    keys: Any,
    best: Any,
    rows: Any,
    h: Any,
    w: Any,
    c: Any,
    references: Any,
    far: Any,
    reach: Any,
    squared: Any,
    k: Any,
    KEPT: tl.constexpr,
    WINDOW: tl.constexpr,
    SIDE: tl.constexpr,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Row-major queries (h·w, c) and keys (references, h·w, c). squared: of the radius of a disk."""
    across = tl.cdiv(w, SIDE)
    top, left = tl.program_id(0) // across * SIDE, tl.program_id(0) % across * SIDE
    own = tl.arange(0, SIDE * SIDE)
    y, x = top + own // SIDE, left + own % SIDE
    inside = (y < h) & (x < w)
    query = tl.where(inside, y * w + x, 0)
    column = tl.arange(0, KEPT)[None, :]
    kept = tl.zeros((SIDE * SIDE, KEPT), tl.float32) + tl.where(column < k, -float("inf"), float("inf"))
    where = tl.zeros((SIDE * SIDE, KEPT), tl.int64)
    for reference in range(references):
        whole = reference < far
        first_y = tl.where(whole, 0, tl.maximum(top - reach, 0))
        first_x = tl.where(whole, 0, tl.maximum(left - reach, 0))
        tall = tl.where(whole, h, tl.minimum(top + SIDE + reach, h) - first_y)
        wide = tl.where(whole, w, tl.minimum(left + SIDE + reach, w) - first_x)
        for start in range(0, tall * wide, CELLS):
            place = start + tl.arange(0, CELLS)
            cell_y, cell_x = first_y + place // wide, first_x + place % wide
            seen = place < tall * wide
            row = tl.where(seen, cell_y * w + cell_x, 0).to(tl.int64) + reference * h * w
            scores = _products(queries, keys, query, row, c, CHANNELS)
            near = _near(y[:, None] - cell_y[None, :], x[:, None] - cell_x[None, :], reach, squared, WINDOW)
            scores = tl.where((near | whole) & seen[None, :], scores, -float("inf"))
            kept, where = _insert(kept, where, scores, row, CELLS)
    out = query[:, None] * k + column
    tl.store(best + out, kept, mask=inside[:, None] & (column < k))
    tl.store(rows + out, where, mask=inside[:, None] & (column < k))


@triton.jit  # type: ignore[untyped-decorator]
def _products(queries: Any, keys: Any, query: Any, row: Any, c: Any, CHANNELS: tl.constexpr) -> Any:
    """Dot products of some queries and some keys, by their rows."""
    scores = tl.zeros((query.shape[0], row.shape[0]), tl.float32)
    for channel in range(0, c, CHANNELS):
        channels = channel + tl.arange(0, CHANNELS)
        there = channels < c
        a = tl.load(queries + query[:, None] * c + channels[None, :], mask=there[None, :], other=0.0)
        b = tl.load(keys + row[None, :] * c + channels[:, None], mask=there[:, None], other=0.0)
        scores += tl.dot(a, b, input_precision="ieee")
    return scores


@triton.jit  # type: ignore[untyped-decorator]
def _near(dy: Any, dx: Any, reach: Any, squared: Any, WINDOW: tl.constexpr) -> Any:
    """Whether cells so far away are in a query's window."""
    if WINDOW == 0:
        near = (tl.abs(dy) <= reach) & (tl.abs(dx) <= reach)
    elif WINDOW == 1:
        near = dy * dy + dx * dx < squared
    else:
        near = dy * dy + dx * dx <= squared
    return near


@triton.jit  # type: ignore[untyped-decorator]
def _insert(kept: Any, where: Any, scores: Any, row: Any, CELLS: tl.constexpr) -> Any:
    """The best of those kept and of new scores: the highest new one takes the place of the lowest kept, as long as it
    is higher."""
    column, cell = tl.arange(0, kept.shape[1])[None, :], tl.arange(0, CELLS)
    highest, lowest = tl.max(scores, 1), tl.min(kept, 1)
    while tl.max((highest > lowest).to(tl.int32), 0) > 0:
        new, old = tl.argmax(scores, 1), tl.argmin(kept, 1)
        chosen = new[:, None] == cell[None, :]
        replaced = (old[:, None] == column) & (highest > lowest)[:, None]
        kept = tl.where(replaced, highest[:, None], kept)
        where = tl.where(replaced, tl.sum(tl.where(chosen, row[None, :], 0), 1)[:, None], where)
        scores = tl.where(chosen, -float("inf"), scores)
        highest, lowest = tl.max(scores, 1), tl.min(kept, 1)
    return kept, where
