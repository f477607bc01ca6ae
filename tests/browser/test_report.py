"""The page in a real browser without a network: nothing fails to load, nothing scrolls sideways."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.quickstart.example import example_results

from mlimages.quickstart.report import write_report

WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section filled; or the one that MLIMAGES_REPORT names."""
    named = os.environ.get("MLIMAGES_REPORT")
    if named:
        return Path(named).resolve()
    folder = tmp_path_factory.mktemp("page")
    return write_report(example_results(folder).to_dict(), folder)


@pytest.mark.parametrize("name", list(WIDTHS))
def test_the_page_is_whole_without_a_network(browser: Any, report: Path, name: str) -> None:
    context = browser.new_context(
        viewport={"width": WIDTHS[name], "height": 900}, offline=True, is_mobile=name == "phone"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:80]}"))
    page.on("console", lambda line: line.type == "error" and problems.append(line.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_load_state("load")

    images = "[...document.images]"
    assert page.evaluate(f"{images}.length") > 10
    # A picture that did not load has no width of its own.
    assert page.evaluate(f"{images}.filter(i => !i.complete || !i.naturalWidth).length") == 0
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= WIDTHS[name], f"the page scrolls sideways: {width} > {WIDTHS[name]}"
    assert page.evaluate("document.querySelectorAll('script').length") == 0
    assert not problems
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    folder = os.environ.get("MLIMAGES_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"report-{name}.png"), full_page=True)
    context.close()


def test_every_link_of_the_page_leads_somewhere(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    broken = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')]"
        ".filter(a => !document.querySelector(a.getAttribute('href'))).length"
    )
    assert page.evaluate("document.querySelectorAll('a').length") >= 9
    assert broken == 0
    page.close()
