"""What the tests of pages share: a browser, and runs whose tokens are characters."""

import os
import shutil
from collections.abc import Iterator

import pytest

from pipelines.readers import tokens
from pipelines.readers.page import rollouts
from tests.token_run import CHARACTERS


@pytest.fixture(scope="module")
def browser():
    """Start a Chromium for all tests here: skipped without one, unless there has to be one."""
    program = shutil.which("chromium")
    if program is None and os.environ.get("RFT_BROWSER") != "required":
        pytest.skip("no chromium on the path")
    assert program is not None, "RFT_BROWSER=required, and there is no chromium on the path"
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        sync_playwright() as driver,
        driver.chromium.launch(executable_path=program, args=options) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def with_characters() -> Iterator[None]:
    """Have a character be a token, as the runs here say."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (rollouts, tokens):
            patch.setattr(module, "token_texts", lambda _run: CHARACTERS)
        yield
