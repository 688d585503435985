"""The promises that vosbench expects a method to keep."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_promises() -> None:
    command = ["check", "--config-dir", str(ROOT / "my_method"), "method=my_method"]
    subprocess.run([sys.executable, "-m", "vosbench", *command], check=True)
