"""Each thing that a server can do ends in its named state."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.image_server import Server, serving
from tests.images.pictures import encode, smooth

from mlimages.errors import InputError
from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.host_state import HostLimits
from mlimages.images.fetching.http1 import Response
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState

PICTURE = encode(smooth(64, 64), quality=90)
LOOPBACK = NetworkSettings(
    ports=None, allow_private_addresses=True, robots=False, maximum_bytes=100_000
)
# For servers that stall: the limits that are to be reached, soon.
QUICK = replace(
    LOOPBACK, answer_seconds=0.4, rate_window_seconds=0.4, total_seconds=2.0, minimum_rate=2000
)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"/a.jpg": PICTURE}) as running:
        yield running


def get(url: str, settings: NetworkSettings = LOOPBACK) -> Answer:
    async def run() -> Answer:
        async with Client(settings) as client:
            return await client.get(url)

    return asyncio.run(run())


def run_with(settings: NetworkSettings, work: Any) -> Any:
    async def run() -> Any:
        async with Client(settings) as client:
            return await work(client)

    return asyncio.run(run())


def test_the_bytes_arrive_as_they_are(server: Server) -> None:
    answer = get(server.url("/a.jpg"))
    assert answer.state is UrlState.OK
    assert (answer.status, answer.data, answer.address) == (200, PICTURE, "127.0.0.1")
    assert answer.final_url == server.url("/a.jpg")
    assert answer.redirects == answer.signals == ()


@pytest.mark.parametrize(
    ("fault", "state", "detail"),
    [
        ("status:400", UrlState.HTTP_STATUS, "status 400"),
        ("status:401", UrlState.UNAUTHORISED, ""),
        ("status:403", UrlState.UNAUTHORISED, ""),
        ("status:404", UrlState.GONE, ""),
        ("status:410", UrlState.GONE, ""),
        ("status:418", UrlState.HTTP_STATUS, ""),
        ("status:429", UrlState.RATE_LIMITED, ""),
        ("status:500", UrlState.SERVER_ERROR, ""),
        ("status:502", UrlState.SERVER_ERROR, ""),
        ("status:503", UrlState.RATE_LIMITED, ""),
        ("status:504", UrlState.SERVER_ERROR, ""),
        ("raw:HTTP/1.1 204 -\\r\\n\\r\\n", UrlState.EMPTY, ""),
        ("raw:HTTP/1.1 302 -\\r\\nContent-Length: 0\\r\\n\\r\\n", UrlState.HTTP_STATUS, "nowhere"),
        ("raw:HTTP/1.1 304 -\\r\\n\\r\\n", UrlState.HTTP_STATUS, "304"),
        ("stall_head", UrlState.TIMEOUT, "no answer within 0.4 s"),
        ("stall_head:20", UrlState.TIMEOUT, "no answer within 0.4 s"),
        ("drip_head", UrlState.TIMEOUT, "no answer within 0.4 s"),
        ("stall_body:50", UrlState.TIMEOUT, "after 50 bytes"),
        ("stall_body:0", UrlState.TIMEOUT, "after 0 bytes"),
        ("slow:200", UrlState.TOO_SLOW, "bytes a second"),
        ("endless", UrlState.TOO_LARGE, "more than 100000 bytes"),
        ("endless_head", UrlState.BAD_ANSWER, "head"),
        ("huge_length", UrlState.TOO_LARGE, "10737418240 bytes announced"),
        ("huge_length:99999999999999999999999999", UrlState.BAD_ANSWER, ""),
        ("cut", UrlState.CONNECTION_LOST, f"after {len(PICTURE) // 2} of {len(PICTURE)} bytes"),
        ("cut:0", UrlState.CONNECTION_LOST, "after 0 of"),
        ("reset", UrlState.CONNECTION_LOST, "before the answer"),
        ("raw:HTTP/1.1 200 OK\\r\\nContent-", UrlState.CONNECTION_LOST, "within the head"),
        ("garbage", UrlState.BAD_ANSWER, "not HTTP"),
        ("interim:20", UrlState.BAD_ANSWER, "interim"),
        (
            "raw:HTTP/1.1 101 -\\r\\nUpgrade: x\\r\\nConnection: upgrade\\r\\n\\r\\n",
            UrlState.BAD_ANSWER,
            "",
        ),
        (
            "raw:HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nContent-Length: 2\\r\\n\\r\\nab",
            UrlState.BAD_ANSWER,
            "",
        ),
        (
            "raw:HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n"
            "Transfer-Encoding: chunked\\r\\n\\r\\nabc",
            UrlState.BAD_ANSWER,
            "",
        ),
        (
            "raw:HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n",
            UrlState.BAD_ANSWER,
            "",
        ),
        ("html", UrlState.NOT_AN_IMAGE, "begins with"),
        ("html:image/jpeg", UrlState.NOT_AN_IMAGE, "begins with"),
        ("empty", UrlState.EMPTY, ""),
        ("header:Content-Encoding: gzip", UrlState.CONTENT_ENCODING, "gzip"),
        ("header:Content-Encoding: gzip, br", UrlState.CONTENT_ENCODING, "gzip, br"),
        ("redirect:/gone", UrlState.GONE, ""),
    ],
)
def test_a_fault_ends_in_its_state(
    server: Server, fault: str, state: UrlState, detail: str
) -> None:
    server.site.faults["/a.jpg"] = fault
    answer = get(server.url("/a.jpg"), QUICK)
    assert answer.state is state, answer
    assert detail in answer.detail
    assert answer.data == b""
    assert "\n" not in answer.detail


@pytest.mark.parametrize(
    "fault",
    [
        "chunked:7",
        "no_length",
        "interim:2",
        "hang_up",
        "delay:0.1",
        "header:Content-Encoding: identity",
        "header:Connection: close",
    ],
)
def test_an_unusual_but_whole_answer_is_taken(server: Server, fault: str) -> None:
    server.site.faults["/a.jpg"] = fault
    answer = get(server.url("/a.jpg"))
    assert (answer.state, answer.data) == (UrlState.OK, PICTURE)
    assert ("not stated" in answer.detail) == (fault == "no_length")


def test_a_body_in_very_many_pieces_is_put_together(server: Server) -> None:
    server.site.add("/a.jpg", PICTURE + bytes(range(256)) * 40)
    server.site.faults["/a.jpg"] = "chunked:3"
    assert get(server.url("/a.jpg")).data == PICTURE + bytes(range(256)) * 40


def test_an_announced_length_that_is_too_short_cuts_the_picture(server: Server) -> None:
    server.site.faults["/a.jpg"] = "short_length:100"
    answer = get(server.url("/a.jpg"))
    assert answer.data == PICTURE[:100]  # whether that is an image is for the decoder to say


@pytest.mark.parametrize(
    ("start", "state"),
    [
        (b"%PDF-1.7 ......................................", UrlState.UNSUPPORTED_FORMAT),
        (b"II*\0............................................", UrlState.UNSUPPORTED_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>........", UrlState.NOT_AN_IMAGE),
        (b"tiny", UrlState.NOT_AN_IMAGE),
    ],
)
def test_the_first_bytes_decide_before_the_rest_is_taken(
    server: Server, start: bytes, state: UrlState
) -> None:
    server.site.add("/a.jpg", start)
    assert get(server.url("/a.jpg")).state is state


def test_a_body_of_exactly_the_greatest_size_is_taken(server: Server) -> None:
    exact = replace(LOOPBACK, maximum_bytes=len(PICTURE))
    assert get(server.url("/a.jpg"), exact).state is UrlState.OK
    smaller = replace(LOOPBACK, maximum_bytes=len(PICTURE) - 1)
    assert get(server.url("/a.jpg"), smaller).state is UrlState.TOO_LARGE


def test_an_image_that_never_ends_within_the_deadline_is_too_slow(server: Server) -> None:
    server.site.add("/a.jpg", PICTURE + bytes(90_000))
    server.site.faults["/a.jpg"] = "slow:6000"  # above the least rate, and still too long
    answer = get(server.url("/a.jpg"), replace(LOOPBACK, total_seconds=0.7))
    assert answer.state is UrlState.TOO_SLOW
    assert "not finished within 0.7 s" in answer.detail


def test_the_deadline_is_for_all_redirects_together(server: Server) -> None:
    server.site.faults.update({f"/{n}": f"redirect:/{n + 1}" for n in range(3)})
    server.site.latency = (0.3, 0.3)
    answer = get(server.url("/0"), replace(LOOPBACK, total_seconds=0.7))
    assert answer.state is UrlState.TOO_SLOW
    assert len(answer.redirects) == 2


def test_a_closed_port_refuses() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        answer = get(f"http://127.0.0.1:{port}/a.jpg")
    assert answer.state is UrlState.REFUSED


def test_a_host_that_never_takes_a_connection_times_out() -> None:
    # A full backlog: the kernel drops what comes, like a host behind a silent firewall.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        answer = get(f"http://127.0.0.1:{port}/a.jpg", replace(LOOPBACK, connect_seconds=0.3))
        for sock in fill:
            sock.close()
    assert (answer.state, answer.detail) == (UrlState.TIMEOUT, "no connection within 0.3 s")


def test_the_host_learns_who_asks_and_nothing_else(server: Server) -> None:
    server.site.keep_heads = True
    get(server.url("/a.jpg?size=l"), replace(LOOPBACK, contact="mailto:me@example.com"))
    lines = server.site.heads[-1].split("\r\n")
    assert lines[0] == "GET /a.jpg?size=l HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert fields["User-Agent"].startswith("mlimages/")
    assert fields["User-Agent"].endswith("(+mailto:me@example.com)")
    assert fields["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "settings",
    [
        {"connections": 0},
        {"total_seconds": float("nan")},
        {"maximum_bytes": -1},
        {"patience": -1},
        {"contact": ""},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        NetworkSettings(**settings)


@pytest.mark.parametrize("limits", [{"connections": 0}, {"parts": 0}, {"rate": 0.0}])
def test_limits_of_a_host_out_of_range_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        HostLimits(**limits)


def test_a_file_of_certificates_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(InputError, match=name):
            get("http://127.0.0.1/", replace(LOOPBACK, ca_file=str(tmp_path / name)))


def test_a_machine_without_free_sockets_blames_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create_connection(*arguments: Any, **more: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "create_connection", create_connection)
    settings = replace(LOOPBACK, opt_out=False)
    answer = get(server.url("/a.jpg"), settings)
    assert (answer.state, answer.detail) == (UrlState.PENDING, "Too many open files")
    assert answer.retry_after == 1.0


def test_a_contact_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(InputError):
        NetworkSettings(contact="me\r\nX-Evil: 1")


def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert get(server.url("/a.jpg")).state is UrlState.OK


def test_connections_are_kept_between_images(server: Server) -> None:
    async def work(client: Client) -> list[Answer]:
        return [await client.get(server.url("/a.jpg")) for _ in range(20)]

    connections = count_connections(server, lambda: run_with(LOOPBACK, work))
    assert connections == 1


@pytest.mark.parametrize("fault", ["html", "status:404", "status:500", "redirect:/gone", "empty"])
def test_a_small_answer_that_is_not_wanted_keeps_the_connection(server: Server, fault: str) -> None:
    server.site.faults["/b.jpg"] = fault

    async def work(client: Client) -> None:
        for _ in range(5):
            await client.get(server.url("/b.jpg"))
        assert (await client.get(server.url("/a.jpg"))).state is UrlState.OK

    connections = count_connections(server, lambda: run_with(LOOPBACK, work))
    assert connections == (6 if fault == "html" else 1)


def count_connections(server: Server, work: Any) -> int:
    made: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        from mlimages.images.fetching import pool

        original = pool.connect

        async def connect(*arguments: Any) -> Any:
            made.append(arguments)
            return await original(*arguments)

        patch.setattr(pool, "connect", connect)
        work()
    return len(made)


def test_a_kept_connection_that_the_host_closed_is_replaced(server: Server) -> None:
    server.site.faults["/a.jpg"] = "hang_up"

    async def work(client: Client) -> list[UrlState]:
        return [(await client.get(server.url("/a.jpg"))).state for _ in range(5)]

    assert run_with(LOOPBACK, work) == [UrlState.OK] * 5
    assert server.site.requests["/a.jpg"] == 5


def test_bytes_that_nobody_asked_for_are_not_taken_for_the_next_answer(server: Server) -> None:
    smuggled = "HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\n\\xff\\xd8\\xffAA"
    server.site.faults["/b.jpg"] = f"raw:{smuggled}{smuggled}"

    async def work(client: Client) -> list[Answer]:
        return [await client.get(server.url(path)) for path in ("/b.jpg", "/a.jpg")]

    first, second = run_with(LOOPBACK, work)
    assert first.data == b"\xff\xd8\xffAA"
    assert second.data == PICTURE


def test_two_images_at_a_time_are_not_mixed_up(server: Server) -> None:
    pictures = {f"/{n}.jpg": encode(smooth(32, 32, seed=n), quality=90) for n in range(40)}
    for path, data in pictures.items():
        server.site.add(path, data)
    server.site.latency = (0.0, 0.05)

    async def work(client: Client) -> list[Answer]:
        return await asyncio.gather(*[client.get(server.url(path)) for path in pictures])

    answers = run_with(LOOPBACK, work)
    assert [answer.data for answer in answers] == list(pictures.values())


def test_a_host_never_sees_more_requests_at_a_time_than_allowed(server: Server) -> None:
    settings = replace(LOOPBACK, hosts=HostLimits(connections=3, start=1))
    server.site.latency = (0.01, 0.02)

    async def work(client: Client) -> list[Answer]:
        urls = [server.url(f"/a.jpg?{n}") for n in range(60)]
        return await asyncio.gather(*[client.get(url) for url in urls])

    run_with(settings, work)
    assert server.site.most_busy["127.0.0.1"] == 3


def test_the_limit_over_all_hosts_holds() -> None:
    addresses = [f"127.0.0.{n}" for n in range(1, 9)]
    settings = replace(LOOPBACK, connections=2)

    async def work(client: Client) -> None:
        urls = [running.url("/a.jpg", host) for host in addresses for _ in range(5)]
        await asyncio.gather(*[client.get(url) for url in urls])

    with serving({"/a.jpg": PICTURE}, addresses=addresses) as running:
        running.site.latency = (0.01, 0.01)
        run_with(settings, work)
        assert running.site.most_busy_at_all <= 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_reported_and_obeyed(server: Server, status: int) -> None:
    server.site.faults["/a.jpg"] = f"retry_after:{status},60"

    async def work(client: Client) -> list[Answer]:
        answers = [await client.get(server.url("/a.jpg")) for _ in range(3)]
        assert 55 < client.seconds_until_open(server.url("/b.jpg")) <= 60
        return answers

    first, second, _ = run_with(LOOPBACK, work)
    assert (first.state, first.retry_after) == (UrlState.RATE_LIMITED, 60.0)
    assert second.state is UrlState.PENDING  # handed back unasked
    assert second.retry_after is not None
    assert 55 < second.retry_after <= 60
    assert server.site.requests["/a.jpg"] == 1


def test_a_short_retry_after_is_waited_for(server: Server) -> None:
    server.site.faults["/a.jpg"] = "retry_after:429,1*1"

    async def work(client: Client) -> list[Answer]:
        return [await client.get(server.url("/a.jpg")) for _ in range(2)]

    first, second = run_with(LOOPBACK, work)
    assert (first.state, second.state) == (UrlState.RATE_LIMITED, UrlState.OK)
    assert 0.5 < second.seconds < 5


def test_retry_after_may_be_a_date(server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    server.site.faults["/a.jpg"] = f"retry_after:503,{date}"
    answer = get(server.url("/a.jpg"))
    assert answer.retry_after is not None
    assert 90 < answer.retry_after <= 100


def test_a_retry_after_that_is_nonsense_is_left_out(server: Server) -> None:
    for value in ("soon", "-1", "\xb2", "9" * 5000, "Mon, 99 Jan 99999 00:00:00 GMT", ""):
        server.site.faults["/a.jpg"] = f"retry_after:503,{value}"
        answer = get(server.url("/a.jpg"))
        assert (answer.state, answer.retry_after) == (UrlState.RATE_LIMITED, None)


def test_a_host_that_fails_again_and_again_is_left_alone(server: Server) -> None:
    server.site.faults["/a.jpg"] = "reset"
    settings = replace(LOOPBACK, opt_out=False, hosts=HostLimits(failures_until_down=5))

    async def work(client: Client) -> list[UrlState]:
        return [(await client.get(server.url("/a.jpg"))).state for _ in range(8)]

    states = run_with(settings, work)
    assert states == [UrlState.CONNECTION_LOST] * 5 + [UrlState.HOST_DOWN] * 3
    assert server.site.requests["/a.jpg"] == 5


def test_cancelling_leaves_nothing_behind(server: Server) -> None:
    server.site.faults["/a.jpg"] = "stall_body:50"

    async def work(client: Client) -> None:
        tasks = [asyncio.ensure_future(client.get(server.url("/a.jpg"))) for _ in range(10)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await client.get(server.url("/b.jpg"))).state is UrlState.GONE
        assert client.hosts.limits_now()["127.0.0.1"][1] == 0

    run_with(LOOPBACK, work)


def test_a_look_at_the_head_takes_no_body(server: Server) -> None:
    server.site.add("/b.jpg", PICTURE, headers=["X-Robots-Tag: noai"])

    async def work(client: Client) -> list[Answer]:
        paths = ("/a.jpg", "/b.jpg", "/gone.jpg", "/a.jpg")
        return [await client.get(server.url(path), without_body=True) for path in paths]

    answers = run_with(LOOPBACK, work)
    states = [UrlState.OK, UrlState.OPTED_OUT, UrlState.GONE, UrlState.OK]
    assert [answer.state for answer in answers] == states
    assert all(answer.data == b"" for answer in answers)


def test_a_client_that_is_held_takes_in_nothing_and_blames_no_host(server: Server) -> None:
    async def work(client: Client) -> tuple[bool, Answer]:
        await client.get(server.url("/a.jpg"))  # on the connection that is kept from this one
        client.hold(True)
        asking = asyncio.create_task(client.get(server.url("/a.jpg")))
        await asyncio.sleep(3 * QUICK.answer_seconds)
        early = asking.done()
        client.hold(False)
        return early, await asking

    early, answer = run_with(QUICK, work)
    assert not early
    assert (answer.state, answer.data) == (UrlState.OK, PICTURE)


def test_an_idle_connection_keeps_no_image(server: Server) -> None:
    async def work(client: Client) -> int:
        await client.get(server.url("/a.jpg"))
        await asyncio.sleep(0)  # until then this very step holds the answer
        gc.collect()
        return sum(isinstance(one, Response) and bool(one.body) for one in gc.get_objects())

    assert run_with(LOOPBACK, work) == 0
