"""The pages of statistics and quality in a real browser: whole, searchable, as wide as it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.pages.example import HOSTILE, make_database, make_predictions

from mlimages.cli import run

WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    db = make_database(root)
    table = make_predictions(db, root / "predictions.parquet")
    assert run(f"statistics {db} --out {root / 'statistics'}".split()) == 0
    assert run(f"quality {db} --predictions {table} --out {root / 'quality'}".split()) == 0
    return {
        "index": root / "statistics" / "index.html",
        "category": root / "statistics" / "categories" / "n02084071.html",
        "quality": root / "quality" / "index.html",
    }


@pytest.mark.parametrize("width", list(WIDTHS))
@pytest.mark.parametrize("name", ["index", "category", "quality"])
def test_pages_are_whole_without_a_network(
    browser: Any, pages: dict[str, Path], name: str, width: str
) -> None:
    context = browser.new_context(
        viewport={"width": WIDTHS[width], "height": 900}, offline=True, is_mobile=width == "phone"
    )
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:80]}"))
    page.on("console", lambda line: line.type == "error" and problems.append(line.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(pages[name].as_uri())
    page.wait_for_load_state("load")
    # Pictures far down load when they are needed.
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert page.evaluate("document.images.length") >= 2
    assert page.evaluate("getComputedStyle(document.querySelector('.tile')).borderRadius") == "12px"
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert not problems
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    folder = os.environ.get("MLIMAGES_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)
    context.close()


def test_searching_finds_categories_by_name_and_key(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["index"].as_uri())
    assert page.locator("#browse").is_visible()
    page.fill("#query", "DOMESTIC_dog")
    assert page.locator("#found li").count() == 1
    assert not page.locator("#browse").is_visible()
    page.fill("#query", "n0212")
    page.click("#found a")
    page.wait_for_load_state("load")
    assert page.locator("h1").inner_text() == "cat"
    page.go_back()
    page.fill("#query", "<script>")
    assert page.locator("#found b").inner_text() == HOSTILE
    page.fill("#query", "nothing like it")
    assert page.locator("#note").inner_text() == "No category has such a name."
    page.goto(pages["index"].as_uri() + "#q=sea")
    assert page.locator("#found b").first.inner_text() == "sea"
    page.close()
