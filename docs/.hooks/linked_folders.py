"""API pages of the linked folders: they have no __init__.py, and griffe passes over folders without one.

The pages are therefore made from a copy of the package in which they have one.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

LINKED = ("methods", "datasets", "evaluation")
copy = tempfile.TemporaryDirectory(prefix="vosbench-docs-")  # removed when the build ends


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: Any) -> Any:
    """Called by MkDocs when it has read mkdocs.yml."""
    package = Path(copy.name, "vosbench")
    if not package.exists():
        source = Path(config["config_file_path"]).parent / "vosbench"
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
        for name in LINKED:
            (package / name / "__init__.py").touch()
    config["plugins"]["mkdocstrings"].config["handlers"]["python"]["paths"] = [copy.name]
    return config
