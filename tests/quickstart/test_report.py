"""The page: complete, escaped, self-contained, and honest about what is missing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.quickstart.example import HOSTILE, example_results

from mlimages.errors import InputError
from mlimages.quickstart.report import format_duration, write_report
from mlimages.quickstart.results import Results, read_results, write_results


class Page(HTMLParser):
    """Collects the elements, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self._open != "style":
            self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    results = example_results(folder)
    write_results(results.to_dict(), folder / "results.json")
    path = write_report(read_results(folder / "results.json"), folder)
    return Page(path.read_text(encoding="utf-8"))


def test_hostile_names_appear_as_text_and_never_as_markup(page: Page) -> None:
    assert HOSTILE in page.text
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            address = attributes.get(name)
            if address is not None:
                assert address.startswith(("data:", "#")), (tag, name, address[:60])
    policies = [a["content"] for t, a in page.elements if a.get("http-equiv")]
    assert policies
    assert "default-src 'none'" in str(policies[0])


def test_the_numbers_of_the_results_are_on_the_page(page: Page) -> None:
    text = re.sub(r"\s+", " ", page.text)
    for expected in ("3,760", "9.17", "92.8 %", "57.7 %", "0.620", "0.110", "91.0 ± 1.6"):
        assert expected in text, expected
    assert "2,160" in text  # read and kept of the first source
    assert "35 of 40" in text


def test_every_picture_and_plot_has_a_description(page: Page) -> None:
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) >= 2 + 2 + 6 + 2 + 6 + 1
    assert all(attributes.get("alt") for attributes in pictures)


def test_a_run_that_was_cut_short_still_gives_a_page(tmp_path: Path) -> None:
    path = write_report(Results(mode="scenes", seed=0).to_dict(), tmp_path)
    assert "This part was not reached" in path.read_text(encoding="utf-8")


def test_a_rule_that_added_nothing_is_reported_as_it_is(tmp_path: Path) -> None:
    results = example_results(tmp_path, mode="photos").to_dict()
    results["cooccurrence"]["pairs"], results["cooccurrence"]["truth"] = [], []
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "nothing was added" in text
    assert "Here the truth is known" not in text


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = example_results(tmp_path).to_dict()
    first = write_report(results, tmp_path).read_bytes()
    assert write_report(results, tmp_path).read_bytes() == first


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    results = example_results(tmp_path).to_dict()
    (tmp_path / results["samples"][0]["picture"]).unlink()
    with pytest.raises(InputError, match=r"0\.png: no such picture"):
        write_report(results, tmp_path)


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    results.metrics[0].measures["map_macro"] = float("nan")
    write_results(results.to_dict(), tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert content["metrics"][0]["measures"]["map_macro"] is None
    assert "n/a" in write_report(content, tmp_path).read_text(encoding="utf-8")


def test_damaged_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json: cannot be read"):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (61, "1 min 1 s"), (3600 + 240, "1 h 4 min")],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert format_duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == words
