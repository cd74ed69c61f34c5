"""The site is built without a warning, reads from disk, and its search works there.

Run: python -m pytest tests/docs/test_site.py -m slow
"""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from tests.command import ROOT

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs-material"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_the_code_is_not(site):
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {site / path.with_suffix(".html") for path in written} <= set(site.rglob("*.html"))
    assert (site / "reference/recipe.html").exists()
    assert (site / "glossary.html").exists()
    assert not list(site.rglob("*.py"))


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_search_from_disk_finds_pages(site):
    words = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"),
        *("--dump-dom", f"{(site / 'index.html').as_uri()}?q=redundant"),
    ]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    (count,) = re.findall(r"(\d+) matching documents", shown)
    assert int(count) >= 5
