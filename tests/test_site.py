"""The documentation's pages find each other, on the site and where a Git host shows the files."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def text_of(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that Git hosts and the site give to a page's headings: those alone on which the two agree."""
    headings = [line.lstrip("#").strip() for line in text_of(page).splitlines() if re.match("#+ ", line)]
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower() for heading in headings]
    host = [re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in words]
    site = [re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", each.encode("ascii", "ignore").decode())) for each in words]
    return {one for one, other in zip(host, site, strict=True) if one == other}


def test_every_page_is_in_the_navigation_once() -> None:
    listed = [page for section in SITE["nav"] for pages in section.values() for page in pages]
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = [link for link in LINK.findall(text_of(page)) if not re.match("https?:|mailto:", link)]
    for path, _, anchor in (link.partition("#") for link in links):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} does not exist"
        assert target.is_relative_to(DOCS) or page.parent == ROOT, f"{path} is not on the site"
        assert not anchor or anchor in anchors(target), f"{path} has no heading #{anchor}"


def test_no_link_is_named_by_a_file() -> None:
    """On the site, pages have no file names."""
    named = re.compile(r"\[[^\]]*\.md\]\(")
    assert [found for page in [*PAGES, ROOT / "README.md"] for found in named.findall(text_of(page))] == []


def test_pictures_are_shown() -> None:
    """What lies in docs/ is on some page, and is small enough to be read on a phone."""
    shown = "".join(page.read_text() for page in [*PAGES, ROOT / "README.md"])
    for picture in (path for path in DOCS.rglob("*") if path.suffix in {".jpg", ".png", ".svg"}):
        assert picture.name in shown
        assert picture.stat().st_size < 300_000
    assert (DOCS / "mamp.jpg").stat().st_size < 200_000


def test_the_design_names_every_package() -> None:
    text = (DOCS / "design.md").read_text()
    packages = {path.parent.name for path in (ROOT / "vosbench").glob("*/__init__.py")}
    assert {name for name in packages if f"`{name}/`" not in text} <= {"conf"}


def test_aligned_lists_of_docstrings_become_lists() -> None:
    pytest.importorskip("griffe")
    listed = runpy.run_path(str(DOCS / ".hooks/aligned_lists.py"))["listed"]
    assert listed("root    folder that holds\n        everything\nsplit   a name") == (
        "- `root`: folder that holds\n  everything\n- `split`: a name"
    )
    assert listed("A sentence.\nAnother one.") == "A sentence.\nAnother one."


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        place = page.relative_to(DOCS).with_suffix("")
        folder = place.parent if place.name == "index" else place
        html = (tmp_path / folder / "index.html").read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)", html)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?([^\s\">]+)", html)
        assert loaded
        assert not [url for url in loaded if re.match("https?:|//", url)]
    assert "A method with its weights" in (tmp_path / "api/segmenter/index.html").read_text()
    assert "folder that holds JPEGImages" in (tmp_path / "api/datasets/index.html").read_text()
