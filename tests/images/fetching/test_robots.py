"""robots.txt by RFC 9309, and the host's tdmrep.json, through the whole client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.image_server import Server, serving
from tests.images.pictures import encode, smooth

from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.robots import MAXIMUM_BYTES, Robots, RobotsAnswer
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import FetchFailure, UrlState
from mlimages.images.fetching.urls import parse_url

PICTURE = encode(smooth(16, 16), quality=80)
SETTINGS = NetworkSettings(ports=None, allow_private_addresses=True)
PATHS = ("/a.jpg", "/private/b.jpg", "/Private/c.jpg", "/private")


def fetch(server: Server, *paths: str, settings: NetworkSettings = SETTINGS) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Client(settings) as client:
            return [await client.get(server.url(path)) for path in paths]

    return asyncio.run(run())


def allowed(rules: str | bytes, *paths: str) -> list[bool]:
    """Which paths may be fetched from a host with these rules."""
    body = rules if isinstance(rules, bytes) else rules.encode()
    with serving(dict.fromkeys(paths, PICTURE)) as server:
        server.site.add("/robots.txt", body)
        answers = fetch(server, *paths)
    assert {answer.state for answer in answers} <= {UrlState.OK, UrlState.ROBOTS}
    refused = [path for path, answer in zip(paths, answers, strict=True) if not answer.data]
    assert not any(server.site.requests[path] for path in refused)
    return [answer.state is UrlState.OK for answer in answers]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # Section 2.2.2: the longest match decides, allow wins a tie, paths are case-sensitive.
        ("User-agent: *\nDisallow: /private/", [True, False, True, True]),
        ("User-agent: *\nDisallow: /", [False] * 4),
        ("User-agent: *\nDisallow:", [True] * 4),
        ("User-agent: *\nDisallow: /\nAllow: /private/", [False, True, False, False]),
        ("User-agent: *\nAllow: /private/b\nDisallow: /private/", [True, True, True, True]),
        ("User-agent: *\nAllow: /private\nDisallow: /private", [True] * 4),
        # Section 2.2.3: `*`, `$`, and comments.
        ("User-agent: *\nDisallow: /*.jpg$", [False, False, False, True]),
        ("User-agent: *\nDisallow: /private$ # only it", [True, True, True, False]),
        ("User-agent: * # all\nDisallow: /p*/b", [True, False, True, True]),
        # Section 2.2.1: our own group replaces that for all, whatever its case; groups are joined.
        ("User-agent: mlimages\nDisallow: /\n\nUser-agent: *\nAllow: /", [False] * 4),
        ("User-agent: MLImages\nAllow: /\n\nUser-agent: *\nDisallow: /", [True] * 4),
        ("User-agent: otherbot\nDisallow: /", [True] * 4),
        ("User-agent: otherbot\nUser-agent: mlimages\nDisallow: /", [False] * 4),
        (
            "User-agent: mlimages\nDisallow: /a\n\nUser-agent: mlimages\nDisallow: /private/",
            [False, False, True, True],
        ),
        # Section 2.2: no rules, other lines, other line ends, a byte order mark.
        ("", [True] * 4),
        ("<!DOCTYPE html><html>not found</html>", [True] * 4),
        (
            "Sitemap: http://a.example/s.xml\nNonsense\nUser-agent: *\nDisallow: /a",
            [False, *[True] * 3],
        ),
        ("User-agent: *\r\nDisallow: /a\r\n", [False, True, True, True]),
        ("User-agent: *\rDisallow: /a\r", [False, True, True, True]),
        (b"\xef\xbb\xbfUser-agent: *\nDisallow: /a", [False, True, True, True]),
        (b"User-agent: *\nDisallow: /\xff\nDisallow: /a", [False, True, True, True]),
    ],
)
def test_rules_of_the_rfc(rules: str | bytes, expected: list[bool]) -> None:
    assert allowed(rules, *PATHS) == expected


def test_query_and_percent_encoding_are_part_of_the_path() -> None:
    rules = "User-agent: *\nDisallow: /*?size=\nDisallow: /%C3%A4"
    assert allowed(rules, "/a.jpg?size=l", "/a.jpg?s=l", "/%C3%A4.jpg") == [False, True, False]


def test_only_the_first_500_kib_count() -> None:
    filler = b"#" * (MAXIMUM_BYTES - len(b"\n") - len(b"User-agent: *\n")) + b"\n"
    assert allowed(filler + b"User-agent: *\nDisallow: /", "/a.jpg") == [True]
    assert allowed(b"User-agent: *\nDisallow: /\n" + filler * 3, "/a.jpg") == [False]


def test_an_endless_file_is_cut() -> None:
    with serving({"/a.jpg": PICTURE}, {"/robots.txt": "endless"}) as server:
        server.site.add("/robots.txt", b"User-agent: *\nDisallow: /a.jpg\n")
        assert fetch(server, "/a.jpg")[0].state is UrlState.ROBOTS


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        # Section 2.3.1.3, "unavailable": everything is allowed.
        ("status:400", UrlState.OK),
        ("status:401", UrlState.OK),
        ("status:403", UrlState.OK),
        ("status:404", UrlState.OK),
        ("status:410", UrlState.OK),
        # Section 2.3.1.4, "unreachable": nothing is.
        ("status:500", UrlState.ROBOTS_UNAVAILABLE),
        ("status:503", UrlState.ROBOTS_UNAVAILABLE),
        ("status:429", UrlState.ROBOTS_UNAVAILABLE),
        ("reset", UrlState.CONNECTION_LOST),
        ("garbage", UrlState.BAD_ANSWER),
        # One lost connection is not the end.
        ("reset*1", UrlState.ROBOTS),
        ("cut*1", UrlState.ROBOTS),
        # Section 2.3.1.2: five redirects at least are followed; more are "unavailable".
        ("redirect:/rules", UrlState.ROBOTS),
        ("redirect:/1", UrlState.ROBOTS),
        ("redirect:/0", UrlState.OK),
        ("redirect:/robots.txt", UrlState.OK),
        ("redirect:file:///etc/robots", UrlState.OK),
    ],
)
def test_what_a_status_means(fault: str, state: UrlState) -> None:
    rules = b"User-agent: *\nDisallow: /a.jpg\n"
    chain = {f"/{n}": f"redirect:/{n + 1}" for n in range(4)} | {"/4": "redirect:/rules"}
    with serving({"/a.jpg": PICTURE, "/robots.txt": rules, "/rules": rules}, chain) as server:
        server.site.faults["/robots.txt"] = fault
        answer = fetch(server, "/a.jpg")[0]
    assert answer.state is state, answer
    assert server.site.requests["/a.jpg"] == (state is UrlState.OK)


def test_a_stalled_file_closes_the_host_for_a_while() -> None:
    quick = replace(SETTINGS, answer_seconds=0.2)
    with serving({"/a.jpg": PICTURE}, {"/robots.txt": "stall_head"}) as server:
        answers = fetch(server, "/a.jpg", "/a.jpg", settings=quick)
    assert [answer.state for answer in answers] == [UrlState.TIMEOUT] * 2
    assert server.site.requests == {"/robots.txt": 3}


def test_the_file_is_asked_for_once_for_all_images_and_for_each_port() -> None:
    async def run(server: Server) -> None:
        async with Client(SETTINGS) as client:
            urls = [server.url("/a.jpg", host) for host in addresses for _ in range(20)]
            answers = await asyncio.gather(*[client.get(url) for url in urls])
            assert {answer.state for answer in answers} == {UrlState.OK}

    addresses = ("127.0.0.1", "127.0.0.2")
    with serving({"/a.jpg": PICTURE}, addresses=addresses) as server:
        asyncio.run(run(server))
    assert server.site.requests["/robots.txt"] == 2
    assert server.site.requests["/.well-known/tdmrep.json"] == 2


def test_robots_txt_can_be_left_unasked() -> None:
    with serving({"/a.jpg": PICTURE, "/robots.txt": b"User-agent: *\nDisallow: /"}) as server:
        settings = replace(SETTINGS, robots=False, opt_out=False)
        assert fetch(server, "/a.jpg", settings=settings)[0].state is UrlState.OK
    assert server.site.requests == {"/a.jpg": 1}


def test_a_redirect_of_an_image_asks_the_rules_of_the_next_host() -> None:
    addresses = ("127.0.0.1", "127.0.0.2")
    with serving({"/a.jpg": PICTURE}, addresses=addresses) as server:
        server.site.add("/robots.txt", b"User-agent: *\nDisallow: /a.jpg")
        server.site.faults["/start"] = f"redirect:{server.url('/a.jpg', '127.0.0.2')}"
        answer = fetch(server, "/start")[0]
    assert answer.state is UrlState.ROBOTS
    assert server.site.requests["/a.jpg"] == 0


def test_rules_are_kept_for_a_day_and_failures_for_a_minute() -> None:
    answers: list[RobotsAnswer | FetchFailure] = []
    asked: list[str] = []
    clock = [0.0]

    async def give(url: Any) -> RobotsAnswer:
        asked.append(url.target)
        answer = answers[0]
        if isinstance(answer, FetchFailure):
            raise answer
        return answer

    async def run(change: Callable[[], None], now: float) -> None:
        change()
        clock[0] = now
        await robots.policy(parse_url("http://a.example/a.jpg"))

    robots = Robots("mlimages", give, reservations=False, clock=lambda: clock[0])
    failure = FetchFailure(UrlState.REFUSED, "refused")
    asyncio.run(run(lambda: answers.insert(0, failure), 0))
    asyncio.run(run(lambda: None, 59))
    assert len(asked) == 1
    asyncio.run(run(lambda: answers.insert(0, RobotsAnswer(200, b"")), 61))
    asyncio.run(run(lambda: None, 61 + 86_000))
    assert len(asked) == 2
    asyncio.run(run(lambda: None, 61 + 86_401))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("headers", "honoured", "said"),
    [
        ("X-Robots-Tag: noai", True, ("x-robots-tag: noai",)),
        ("X-Robots-Tag: otherbot: noai", False, ()),
        ("X-Robots-Tag: nofollow", False, ("x-robots-tag: nofollow",)),
        ("TDM-Reservation: 1", True, ("tdm-reservation: 1",)),
        ("TDM-Reservation: 0", False, ("tdm-reservation: 0",)),
        (
            "X-Robots-Tag: nofollow|X-Robots-Tag: noimageai",
            True,
            ("x-robots-tag: nofollow", "x-robots-tag: noimageai"),
        ),
    ],
)
def test_opt_outs_are_honoured_and_recorded(
    headers: str, honoured: bool, said: tuple[str, ...]
) -> None:
    with serving({"/a.jpg": PICTURE}, {"/a.jpg": f"header:{headers}"}) as server:
        answer = fetch(server, "/a.jpg")[0]
        ignoring = fetch(server, "/a.jpg", settings=replace(SETTINGS, opt_out=False))[0]
    assert answer.state is (UrlState.OPTED_OUT if honoured else UrlState.OK)
    assert (answer.data == b"") == honoured
    assert ignoring.state is UrlState.OK
    assert answer.signals == ignoring.signals == said


def test_a_reserved_path_is_not_asked_for() -> None:
    file = b'[{"location": "/reserved/*", "tdm-reservation": 1}]'
    with serving({"/reserved/a.jpg": PICTURE, "/a.jpg": PICTURE}) as server:
        server.site.add("/.well-known/tdmrep.json", file)
        reserved, free = fetch(server, "/reserved/a.jpg", "/a.jpg")
    assert reserved.state is UrlState.OPTED_OUT
    assert reserved.signals == ("tdmrep.json: tdm-reservation: 1",)
    assert free.state is UrlState.OK
    assert server.site.requests["/reserved/a.jpg"] == 0


def test_a_hostile_file_does_not_hold_up_the_loop() -> None:
    rules = "User-agent: *\nDisallow: /" + "*a" * 30 + "b\n"
    path = "/" + "a" * 200
    assert allowed(rules, path) == [True]
