"""The page as it is sent. It asks no other server for anything, and runs no script but its own."""

import base64
import hashlib
import re
from pathlib import Path

TEXT = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
PAGE = TEXT.encode()


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


SCRIPTS = " ".join(_hash(script) for script in re.findall(r"<script>(.*?)</script>", TEXT, re.DOTALL))
POLICY = "; ".join(
    [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "style-src 'unsafe-inline'",
        f"script-src {SCRIPTS}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
