"""Which frames each policy lets a query look at, and what it costs."""

from typing import Any

import pytest
from hydra.utils import instantiate

from vosbench.cli import configuration
from vosbench.contract import Entry
from vosbench.inference.memory import FrameMemory

LONG, SHORT = "memory=mamp memory.recent=[]", "memory=mamp memory.first=false memory.long=[]"
RELEASED = "memory=mamp memory.long=[] memory.max_frames=4"
PREFILLED = "memory=first_last memory.prefilled=true"
# adaptive keeps tokens
NAMES = sorted({*configuration.groups(configuration.compose("benchmark"))["memory"]} - {"adaptive"})
POLICIES = [*(f"memory={name}" for name in NAMES), LONG, SHORT, RELEASED, PREFILLED]


def policy(typed: str, **changes: Any) -> FrameMemory[str]:
    config = configuration.compose("benchmark", typed.split() if "=" in typed else [f"memory={typed}"])
    made: FrameMemory[str] = instantiate(config.memory, **changes)
    return made


def references(memory: FrameMemory[str], last: int, given: tuple[int, ...] = (0,)) -> dict[int, list[int]]:
    """The frames that queries 1 … last look at, while a video runs."""
    seen = {}
    for t in range(last + 1):
        if t:
            entries = memory.references(t)
            assert [entry.value for entry in entries] == [f"frame {entry.index}" for entry in entries]
            seen[t] = [entry.index for entry in entries]
        memory.add(Entry(t, t in given, f"frame {t}"))
    return seen


def test_mamp_table() -> None:
    assert references(policy("mamp"), 10) == {
        1: [0],
        2: [0, 1],
        3: [0, 2],
        4: [0, 1, 3],
        5: [0, 2, 4],
        6: [0, 1, 3, 5],
        7: [0, 2, 4, 5, 6],
        8: [0, 3, 5, 7],
        9: [0, 4, 5, 6, 8],
        10: [0, 5, 7, 9],
    }


def test_long_only_and_short_only() -> None:
    long, short = (references(policy(name), 8) for name in (LONG, SHORT))
    assert [long[t] for t in (1, 5, 6, 8)] == [[0], [0], [0, 5], [0, 5]]
    assert [short[t] for t in (1, 3, 5, 6, 8)] == [[0], [0, 2], [0, 2, 4], [1, 3, 5], [3, 5, 7]]


def test_given_frames_join_mamps_memory() -> None:
    seen = references(policy("mamp"), 20, given=(0, 8))
    assert seen[8] == [0, 3, 5, 7]
    assert seen[9] == [0, 4, 5, 6, 8]
    assert seen[20] == [0, 5, 8, 15, 17, 19]


def test_mamp_as_released_for_youtube_vos() -> None:
    """Four references: all given frames, then as many of t-1, t-3 and t-5 as there is room for."""
    alone = references(policy(RELEASED), 8)
    assert [alone[t] for t in (1, 2, 4, 6, 8)] == [[0], [0, 1], [0, 1, 3], [0, 1, 3, 5], [0, 3, 5, 7]]
    more = references(policy(RELEASED), 40, given=(0, 10, 20, 30, 35))
    assert more[19] == [0, 10, 16, 18]
    assert more[29] == [0, 10, 20, 28]
    assert more[34] == [0, 10, 20, 30]
    assert more[40] == [0, 10, 20, 30, 35]


def test_stm_keeps_every_fifth_and_the_last() -> None:
    seen = references(policy("stm"), 130)
    assert [seen[t] for t in (1, 5, 6, 7, 12)] == [[0], [0, 4], [0, 5], [0, 5, 6], [0, 5, 10, 11]]
    assert len(seen[130]) == 20
    assert seen[130] == [0, *range(40, 130, 5), 129]


def test_the_last_n() -> None:
    seen = references(policy("first_last", last_n=3), 9)
    assert [seen[t] for t in (1, 3, 9)] == [[0], [0, 1, 2], [0, 6, 7, 8]]


def test_max_frames_drops_in_order_of_importance() -> None:
    memory: FrameMemory[str] = FrameMemory(first=True, recent=(1, 3), last_n=4, long=(2,), every=5, max_frames=6)
    assert references(memory, 20)[20] == [0, 2, 16, 17, 18, 19]
    assert references(FrameMemory(first=True, recent=(3, 1), max_frames=2), 9)[9] == [0, 6]


def test_a_growing_policy_has_a_limit() -> None:
    assert len(references(FrameMemory(first=True, every=1), 50)[50]) == 20
    assert len(references(FrameMemory(first=True, every=1, max_frames=30), 50)[50]) == 30


@pytest.mark.parametrize("name", POLICIES)
def test_memory_is_bounded_and_forgets_nothing_it_needs(name: str) -> None:
    """Against a memory that keeps everything: what is dropped was never to be looked at again."""
    memory, hoarder = policy(name), policy(name)
    everything: dict[int, Entry[str]] = {}
    most = 0
    for t in range(300):
        if t:
            hoarder._entries = everything
            assert memory.references(t) == hoarder.references(t) != ()
        entry = Entry(t, t in (0, 40), f"frame {t}")
        memory.add(entry)
        everything[t] = entry
        most = max(most, len(memory._entries))
    assert most <= 24


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in (SHORT, "memory=previous")])
def test_given_frames_stay(name: str) -> None:
    assert {0, 7, 30} <= set(references(policy(name), 300, given=(0, 7, 30))[300])


def test_replace_changes_every_kept_value() -> None:
    memory = policy("mamp")
    references(memory, 20)
    memory.replace(lambda value: f"{value} and more")
    assert [entry.value for entry in memory.references(21)] == [f"frame {i} and more" for i in (0, 5, 16, 18, 20)]
    assert [entry.given for entry in memory.references(21)] == [True, False, False, False, False]


@pytest.mark.parametrize("settings", [{}, {"recent": [3, 5]}, {"long": [5]}])
def test_a_policy_that_would_be_empty_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"second frame.*memory\.first"):
        FrameMemory(first=False, **settings)
    with pytest.raises(ValueError, match="max_frames=0"):
        FrameMemory(max_frames=0)


def test_copies_of_the_first_frame_stand_in_for_missing_ones() -> None:
    memory = policy(PREFILLED, last_n=3)
    assert references(memory, 5) == {
        1: [0, 0, 0, 0],
        2: [0, 1, 0, 0],
        3: [0, 1, 2, 0],
        4: [0, 1, 2, 3],
        5: [0, 2, 3, 4],
    }
    memory = policy(PREFILLED, last_n=3)
    memory.add(Entry(0, True, "frame 0"))
    assert [entry.given for entry in memory.references(1)] == [True, False, False, False]
    with pytest.raises(ValueError, match="prefilled=true needs frame 0"):
        FrameMemory(prefilled=True, first=False, last_n=3)
