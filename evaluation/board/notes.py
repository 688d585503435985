"""Notes below a leaderboard: what its numbers are, and what not to conclude from them."""

from collections.abc import Iterator, Sequence

from vosbench.evaluation.board.rows import Row


def notes_on(rows: Sequence[Row], best: Row, resamples: int, seed: int, missing: str | None = None) -> list[str]:
    """All notes on a table whose best measured row is `best`. `missing`: a baseline that it does not have."""
    notes = [*_intervals(rows, best, resamples, seed), *_comparisons(rows, best), *_sources(rows)]
    notes += [f"{row.record.method} ({row.run}): {remark}" for row in rows for remark in row.record.remarks]
    reasons = {row.protocol_title: row.rules.unofficial for row in rows if row.rules and row.rules.unofficial}
    notes += [f"{title}: {reason}." for title, reason in sorted(reasons.items())]
    return notes + ([f"The baseline {missing} has no row here."] if missing else [])


def _intervals(rows: Sequence[Row], best: Row, resamples: int, seed: int) -> Iterator[str]:
    seeds = any(row.seeds for row in rows)
    yield _interval(best, seeds, resamples, seed)
    if seeds:
        yield "±: standard deviation over as many seeds as Seeds says."
    if any(row.to_baseline and row.to_baseline.p is not None for row in rows):
        yield f"p: of the difference to the baseline, by flipping its sign in each sequence ({resamples:,} times)."


def _interval(best: Row, seeds: bool, resamples: int, seed: int) -> str:
    """How the intervals were computed, or why there are none."""
    if best.interval and best.interval.low is not None:
        sequences = len({key.sequence for key in best.objects})
        over = f"sequences ({sequences} in the best row){' and seeds' * seeds}"
        return f"95 %: bootstrap over {over}, {resamples:,} resamples, seed {seed}."
    why = "One sequence" if best.objects else "No objects"
    if best.objects and not best.headlines:
        why = f"{best.measure.name} is no mean over objects"
    return f"{why}: no interval can be given."


def _comparisons(rows: Sequence[Row], best: Row) -> Iterator[str]:
    other = [row for row in rows if row.path and not row.is_comparable(best)]
    if other:
        what = "over other objects, frames or annotations than the best row's"
        yield f"{len(other)} result(s) are {what}: do not compare their means."
    if len({row.is_supervised for row in rows}) > 1:
        what = "Supervised methods learned from masks or labels, the others did not, or do not say"
        yield f"{what}: Δ best is to the best of the same sort."
    if any(row.record.supervision == "flow-supervised" for row in rows):
        yield "Flow-supervised: no masks or labels of objects; the flow network learned from true flow."
    if len({row.record.inference for row in rows if row.path}) > 1:
        yield "Methods saw the frames at different sizes (Seen at); all were scored at the original size."
    devices = {device for row in rows if (device := (row.record.speed or {}).get("device"))}
    if len(devices) == 1:
        yield f"Speed on {devices.pop()}."


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    sources = {short: source for row in rows for short, source in row.sources.items()}
    yield from (f"† {short}: quoted, not measured, from {source}." for short, source in sorted(sources.items()))
    yield from (f"† {row.record.method}: {row.remark}." for row in rows if row.remark)
