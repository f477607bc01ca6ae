"""One normal form for each URL, and nothing in between."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.images.fetching.states import FetchFailure, UrlState
from mlimages.images.fetching.urls import Url, parse_url, redirect_target


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://example.com", "http://example.com/"),
        ("  http://example.com/a.jpg ", "http://example.com/a.jpg"),
        ("HTTP://EXAMPLE.com/A.jpg", "http://example.com/A.jpg"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("http://example.com:/a", "http://example.com/a"),
        ("http://example.com./a", "http://example.com/a"),
        ("http://example.com?size=l", "http://example.com/?size=l"),
        ("http://example.com/a#b@c", "http://example.com/a"),
        ("http://example.com/a b.jpg", "http://example.com/a%20b.jpg"),
        ("http://example.com/%7Ea%2Fb", "http://example.com/%7Ea%2Fb"),
        ('http://example.com/"<>', "http://example.com/%22%3C%3E"),
        ("http://example.com/ä.jpg", "http://example.com/%C3%A4.jpg"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
        ("http://my_bucket.example.com/", "http://my_bucket.example.com/"),
        ("http://8.8.8.8/a", "http://8.8.8.8/a"),
        ("http://[2001:4860:4860::8888]:80/a", "http://[2001:4860:4860::8888]/a"),
        ("http://example.com/http://other.example/", "http://example.com/http://other.example/"),
        ("http://example.com/a?u=me@b:c", "http://example.com/a?u=me@b:c"),
    ],
)
def test_a_url_has_one_normal_form(text: str, normal: str) -> None:
    assert str(parse_url(text)) == normal
    assert parse_url(normal) == parse_url(text)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b.jpg", "http://example.com/b.jpg"),
        ("b.jpg", "http://example.com/a/b.jpg"),
        ("../b.jpg", "http://example.com/b.jpg"),
        ("?x=1", "http://example.com/a/c.jpg?x=1"),
        ("//other.example/b", "http://other.example/b"),
        ("https://other.example/b", "https://other.example/b"),
        ("", "http://example.com/a/c.jpg"),
    ],
)
def test_a_redirect_is_resolved_against_its_url(location: str, target: str) -> None:
    assert str(redirect_target(parse_url("http://example.com/a/c.jpg"), location)) == target


def outcome(text: str) -> tuple[Url | None, UrlState | None]:
    try:
        return parse_url(text), None
    except FetchFailure as failure:
        return None, failure.state


@given(st.text(max_size=60))
def test_any_text_is_a_url_in_normal_form_or_refused_by_name(text: str) -> None:
    for candidate in (text, "http://" + text, "http://example.com/" + text):
        url, state = outcome(candidate)
        if url is None:
            assert state is UrlState.BAD_URL
            continue
        # What is sent is printable ASCII without blanks: nothing can be smuggled into a request.
        sent = url.target + url.authority
        assert sent.isascii()
        assert sent.isprintable()
        assert " " not in sent
        assert parse_url(str(url)) == url


@given(st.text(max_size=60))
def test_any_location_is_resolved_or_refused_without_another_error(location: str) -> None:
    with suppress(FetchFailure):
        redirect_target(parse_url("http://example.com/a"), location)


def test_a_very_long_url_is_refused() -> None:
    with pytest.raises(FetchFailure):
        parse_url("http://example.com/" + "a" * 9000)
