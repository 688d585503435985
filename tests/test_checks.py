"""Options of methods, memories and flow estimators that make no sense: one line with the whole key, before any work."""

from collections.abc import Callable
from typing import Any

import pytest

from vosbench.inference.memory import FrameMemory
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.pseudo_labels import ClusterVideos
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import NoFlow, Raft
from vosbench.settings.checks import below, not_above, not_sizes, outside, refuse
from vosbench.util.errors import UserError


def test_each_check_judges_its_border_and_not_null() -> None:
    assert below(1, a=1, b=0, c=None) == ["b=0: give 1 or more"]
    assert not_above(0, a=0.1, b=0.0, c=None) == ["b=0.0: give more than 0"]
    assert outside(0, 1, a=0, b=1.5, c=1, d=None) == ["b=1.5: give 0 to 1"]
    assert not_sizes(2, a=[1, 2], b=[1], c=(0, 1)) == [
        f"{each}: give 2 numbers of 1 or more" for each in ("b=[1]", "c=[0, 1]")
    ]
    assert below(1, a=float("nan")) == ["a=nan: give 1 or more"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    refuse("method", [])
    with pytest.raises(UserError, match=r"^method\.a=0: give 1 or more; method\.b=-1: give 1 or more$"):
        refuse("method", below(1, a=0, b=-1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MAMP(NoFlow(), top_k=0), r"method\.top_k=0: give 1 or more"),
        (lambda: MAMP(NoFlow(), radius=-1), r"method\.radius=-1: give 0 or more"),
        (lambda: MAMP(NoFlow(), channels=0), r"method\.channels=0: give 1 or more"),
        (lambda: MAMP(NoFlow(), widths=(8, 8)), r"method\.widths=\[8, 8\]: give 4 numbers of 1 or more"),
        (lambda: MUNet(18, width=0), r"method\.width=0: give 1 or more"),
        (lambda: MUNet(18, hardest=1.5), r"method\.hardest=1.5: give 0 to 1"),
        (lambda: MotionUncertaintyLayer(8, radius=0), r"method\.motion\.radius=0: give 1 or more"),
        (lambda: MotionUncertaintyLayer(8, reduced=0), r"method\.motion\.reduced=0: give 1 or more"),
        (lambda: MotionUncertaintyLayer(8, temperature=0), r"method\.motion\.temperature=0: give more than 0"),
        (lambda: FrameMemory(last_n=-1), r"memory\.last_n=-1: give 0 or more"),
        (lambda: FrameMemory(recent=(1, 0)), r"memory\.recent=\[1, 0\]: give 1 or more"),
        (lambda: FrameMemory(long=(-5,)), r"memory\.long=\[-5\]: give 0 or more"),
        (lambda: FrameMemory(every=-1), r"memory\.every=-1: give 1 or more"),
        (lambda: ClusterVideos(clusters=0), r"callbacks\.pseudo_labels\.clusters=0: give 1 to 254"),
        (lambda: ClusterVideos(largest=2.0), r"callbacks\.pseudo_labels\.largest=2.0: give 0 to 1"),
        (lambda: ClusterVideos(short_side=0), r"callbacks\.pseudo_labels\.short_side=0: give 1 or more"),
        (lambda: Raft("small", updates=0), r"flow\.updates=0: give 1 or more"),
    ],
)
def test_options_that_make_no_sense(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_a_preset_that_does_not_exist(command: Callable[..., Any]) -> None:
    command("predict", "method=flow_warp", "flow.preset=fastest").error(
        2, "flow.preset=fastest: give ultrafast or fast"
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["method=mamp", "method.top_k=0"], "method.top_k=0: give 1 or more"),
        (["method=mamp", "method.channels=-3"], "method.channels=-3: give 1 or more"),
        (["method=mask_embedding_small", "method.temperature=0"], "method.temperature=0: give more than 0"),
        (["method=munet_narrow", "method.motion.radius=0"], "method.motion.radius=0: give 1 or more"),
        (["method=copy_first", "memory.recent=[0]"], "memory.recent=[0]: give 1 or more"),
        (["method=munet_narrow", "memory=adaptive", "memory.rate=2"], "memory.rate=2: give 0 to 1"),
    ],
)
def test_on_the_command_line_it_is_one_line(command: Callable[..., Any], overrides: list[str], said: str) -> None:
    command("predict", "dataset=collage", "device=cpu", "checkpoint=none", *overrides).error(1, said)
