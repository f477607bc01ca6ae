"""X-Robots-Tag and TDM-Reservation, value by value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.images.fetching.signals import header_signals, parse_reservations

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def refused(*tags: str) -> bool:
    return header_signals(tags, (), "mlimages", NOW).refused


@pytest.mark.parametrize(
    "tag",
    [
        "noai",
        "noimageai",
        "noindex",
        "noimageindex",
        "none",
        "noml",
        "NOAI",
        " noai ",
        "all, noai",
        "nofollow, noarchive,noai",
        "*: noai",
        "mlimages: noai",
        "MLImages: noai, nofollow",
        "otherbot: nofollow, mlimages: noai",
        "max-snippet: 20, noai",
        "noai, otherbot: all",
        "max-image-preview:large,noindex",
        "otherbot: noarchive, *: noimageai",
        "unavailable_after: 25 Jun 2010 15:00:00 PST",
        "unavailable_after: Friday, 25-Jun-10 15:00:00 UTC",
        "unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, nofollow",
        "unavailable_after: 2026-05-31",
        "unavailable_after: 2026-05-31T12:00:00+02:00",
        "unavailable_after: 2099-01-01, noai",
    ],
)
def test_a_tag_that_refuses_is_honoured(tag: str) -> None:
    assert refused(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "all",
        "",
        ",",
        "nofollow",
        "noarchive, nosnippet",
        "otherbot: noai",
        "max-snippet: -1",
        "otherbot: noindex, noai",
        "googlebot: nofollow, bingbot: noai",
        "noaix",
        "no ai",
        "index",
        "unavailable_after: 25 Jun 2099 15:00:00 PST",
        "unavailable_after: 2026-06-02",
        "unavailable_after: Thursday, 25-Jun-65 15:00:00 UTC",
        "unavailable_after: whenever",
        "unavailable_after:",
        "mlimages: all",
        "max-video-preview: 3, max-image-preview: none",
    ],
)
def test_a_tag_that_does_not_refuse_us_is_not_taken_for_one(tag: str) -> None:
    assert not refused(tag)


def test_each_header_line_begins_for_everyone() -> None:
    assert refused("otherbot: nofollow", "noai")
    assert not refused("otherbot: noai", "otherbot: noindex")


def test_what_was_said_to_us_is_recorded() -> None:
    signals = header_signals(["nofollow, otherbot: noai", "NoArchive"], ["1"], "mlimages", NOW)
    assert signals.said == (
        "x-robots-tag: nofollow",
        "x-robots-tag: noarchive",
        "tdm-reservation: 1",
    )
    assert signals.refused


@pytest.mark.parametrize(("value", "is_refusal"), [("1", True), (" 1 ", True), ("0", False)])
def test_a_reservation_of_rights_in_the_header(value: str, is_refusal: bool) -> None:
    assert header_signals((), [value], "mlimages", NOW).refused == is_refusal


@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_header_is_read_without_an_error(tags: list[str]) -> None:
    header_signals(tags, tags, "mlimages", NOW)
    for tag in tags:
        refused(f"unavailable_after: {tag}")


FILE = b"""[
  {"location": "/open/", "tdm-reservation": 0},
  {"location": "/*.png$", "tdm-reservation": 1},
  {"location": "/photos/*/large", "tdm-reservation": "1", "tdm-policy": "https://a.example/p"},
  {"location": "/exact$", "tdm-reservation": 1},
  {"location": 5, "tdm-reservation": 1}, "nonsense",
  {"location": "/half"}
]"""


@pytest.mark.parametrize(
    ("target", "reservation"),
    [
        ("/open/a.png", 0),
        ("/a.png", 1),
        ("/a.png?size=l", None),
        ("/b/c.png", 1),
        ("/photos/7/large.jpg", 1),
        ("/photos/large.jpg", None),
        ("/exact", 1),
        ("/exact/more", None),
        ("/half/a", None),
        ("/", None),
    ],
)
def test_the_first_rule_that_matches_a_path_decides(target: str, reservation: int | None) -> None:
    assert parse_reservations(FILE).of(target) == reservation


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b"null", b"[[]]", b"[" * 100_000, b"\xff"])
def test_a_file_that_is_none_reserves_nothing(data: bytes) -> None:
    assert parse_reservations(data).of("/a.jpg") is None


def test_a_hostile_pattern_takes_no_exponential_time() -> None:
    location = "/" + "*a" * 2000 + "b"
    reservations = parse_reservations(
        f'[{{"location": "{location}", "tdm-reservation": 1}}]'.encode()
    )
    assert reservations.of("/" + "a" * 8000) is None
