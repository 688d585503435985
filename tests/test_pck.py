"""PCK of joints against a plain transcription of CRW's script."""

import runpy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.pck_crw import NAMES
from vosbench.evaluation.protocols.protocol import Protocol, protocol_named
from vosbench.util.errors import UserError

crw_pck = runpy.run_path(str(Path(__file__).with_name("plain_features.py")))["crw_pck"]
CRW, VFS = protocol_named("pck-crw"), protocol_named("pck-vfs")


def scored(protocol: Protocol, truths: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, float]:
    objects = {}
    for name, annotated in truths.items():
        lost = np.where(found[name] < 0, np.nan, found[name])
        for joint, curves in protocol.score(zip(annotated, lost, strict=True), name).items():
            objects[ObjectKey(name, joint)] = protocol.summarise(curves)
    return dict(protocol.aggregate(objects))


@pytest.mark.parametrize(("protocol", "first"), [(CRW, 1), (VFS, 0)])
def test_pck_is_that_of_the_scripts(protocol: Protocol, first: int) -> None:
    generator = np.random.default_rng(0)
    truths = {name: generator.uniform(0, 240, (t, 15, 2)) for name, t in (("a", 9), ("b", 5), ("c", 14))}
    found = {name: values + generator.normal(0, 25, values.shape) for name, values in truths.items()}
    found = {name: np.abs(values) for name, values in found.items()}
    for values in found.values():
        values[generator.random(values.shape[:2]) < 0.2] = -1
    scores = scored(protocol, truths, found)
    for name, limit in (("PCK@.1", 0.1), ("PCK@.2", 0.2)):
        assert 0 < scores[name] < 1
        assert scores[name] == pytest.approx(crw_pck(truths, found, first, limit), abs=1e-12)
        joints = [scores[f"{name} {joint}"] for joint in NAMES]
        assert scores[name] == pytest.approx(np.mean(joints), abs=1e-12)
    kept = np.concatenate([values[first:, :, 0].ravel() for values in found.values()])
    assert scores["Found"] == pytest.approx(np.mean(kept >= 0))


def test_the_given_frame_counts_or_not() -> None:
    """All wrong but in frame 0."""
    annotated = np.random.default_rng(0).uniform(0, 100, (3, 15, 2))
    found = annotated.copy()
    found[1:] += 500
    assert scored(CRW, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    assert scored(VFS, {"a": annotated}, {"a": found})["PCK@.2"] == pytest.approx(1 / 3)


def test_lost_unknown_and_single_joints() -> None:
    """A joint that is lost, or not annotated, counts nowhere; a box without extent has no correct joint."""
    annotated = np.random.default_rng(0).uniform(0, 100, (2, 15, 2))
    found = annotated.copy()
    found[1, 3] = -1
    annotated[1, 4] = np.nan
    objects = CRW.score(zip(annotated, np.where(found < 0, np.nan, found), strict=True), "a")
    assert CRW.summarise(objects[4]) == {"found": 0, "frames": 1}
    assert 5 not in objects
    scores = scored(CRW, {"a": annotated}, {"a": found})
    assert scores["PCK@.1"] == 1
    assert scores["Found"] == pytest.approx(13 / 14)
    assert "PCK@.1 right shoulder" not in scores
    found[:, 1:] = -1
    assert scored(CRW, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    found[:] = -1
    assert scored(CRW, {"a": annotated}, {"a": found})["PCK@.2"] == 0
    with pytest.raises(UserError, match=r"a: 1 frame\(s\) with joints, and 1 not scored"):
        scored(CRW, {"a": annotated[:1]}, {"a": found[:1]})
