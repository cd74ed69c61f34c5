"""Pages served and in a browser: opened, waited for, chosen from, and held to ask for nothing."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from pipelines.readers.page.serving import Server
from rft.runs.folder import Run

WIDTHS = (390, 800, 1440)


@contextmanager
def opened(browser, address: str | Path, choice: str = "", *, waits: bool = True, **options):
    """Open a page; whatever is done with it, it asks for nothing and complains of nothing."""
    url = address.as_uri() if isinstance(address, Path) else address
    asked, said = [], []
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
    page.goto(f"{url}{choice}")
    if waits:
        page.wait_for_selector("body[data-ready]")
    yield page
    assert {each.partition("#")[0] for each in asked} <= {url, f"{url}state"}
    assert said == []
    context.close()


def until(page, holds: str) -> None:
    """Wait until an expression holds; the page's own policy forbids Playwright's way."""
    page.evaluate(
        "() => new Promise((done, fail) => { setTimeout(() => fail(new Error('too long')), 20000);"
        f"const look = () => ({holds}) ? done() : requestAnimationFrame(look); look(); }})"
    )


def choose(page, **fields: object) -> str:
    """Choose by fields, all others cleared, and give what the page says of it."""
    page.click("#clear")
    for name, value in fields.items():
        field = page.locator(f"#filters [name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    until(page, "document.getElementById('count').textContent.includes('here')")
    return page.text_content("#count")


def count(rows: pl.DataFrame, name: str) -> Counter:
    return Counter(rows[name])


@contextmanager
def serve(run: Run) -> Iterator[Server]:
    """Serve the page of a run, at any free port."""
    with Server(run, 0, 20) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
