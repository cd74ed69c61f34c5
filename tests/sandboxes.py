"""The mark of tests that run programs: where bubblewrap runs nothing they are left out."""

import shutil
import subprocess

import pytest


def trouble() -> str | None:
    """Say why no sandbox can be made here."""
    if shutil.which("bwrap") is None:
        return "no bwrap on this machine; install bubblewrap"
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"bwrap runs nothing here: {tried.stderr}" if tried.returncode else None


WHY_NOT = trouble()
needs_bwrap = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
