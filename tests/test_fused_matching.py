"""The fused kernel, run by triton's interpreter on the CPU in processes of its own, against the plain search."""

import os
import subprocess
import sys

import pytest
import torch

from vosbench.ops.matching import match
from vosbench.util.errors import UserError

SCRIPT = """
import torch
from vosbench.ops.matching import match, read

rng = torch.Generator().manual_seed(0)
query, *keys = torch.nn.functional.normalize(torch.randn(4, 1, 36, 6, 9, generator=rng), dim=2)
values = list(torch.rand(3, 1, 2, 6, 9, generator=rng))
for window in ("square", "disk", "closed_disk"):
    for unrestricted, top_k in (((True, False, False), 5), ((False, False, False), 32)):
        options = {"unrestricted": unrestricted, "radius": 2, "window": window, "top_k": top_k}
        fused, plain = (match(query, keys, fused=how, **options) for how in (True, False))
        torch.testing.assert_close(read(fused, values), read(plain, values), rtol=0, atol=1e-5)
        torch.testing.assert_close(fused.weights.sum(1), torch.ones(54))
print("equal")
"""


def test_the_fused_kernel_finds_what_the_plain_search_finds() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert done.stdout == "equal\n", done.stderr


def test_what_the_kernel_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key = torch.rand(2, 1, 4, 5, 6)
    with pytest.raises(ValueError, match="does not keep ties"):
        match(query, [key], unrestricted=[False], ties="kept", fused=True)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "vosbench.ops.fused_matching", raising=False)
    with pytest.raises(UserError, match="needs triton, which is not installed"):
        match(query, [key], unrestricted=[False], fused=True)


@pytest.mark.parametrize(("top_k", "message"), [(33, "at most 32 candidates, not 33"), (5, "needs a GPU")])
def test_too_many_candidates_and_tensors_on_the_cpu_are_refused(top_k: int, message: str) -> None:
    pytest.importorskip("triton")
    script = (
        "import torch; from vosbench.ops.matching import match; m = torch.rand(1, 4, 5, 6); "
        f"match(m, [m], unrestricted=[False], top_k={top_k}, fused=True)"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert message in done.stderr
