"""No URL, redirect or name leads to an address that is not public."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from tests.image_server import serving
from tests.images.fetching.wire import OTHER_PUBLIC, PUBLIC, Names, resolver, wired
from tests.images.pictures import encode, smooth

from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState

PICTURE = encode(smooth(16, 16), quality=80)

BLOCKED = [
    # Addresses in their usual form.
    "http://127.0.0.1/",
    "http://127.1.2.3/a.jpg",
    "http://127.0.0.1:443/",
    "http://127.0.0.1./%00",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    # Metadata services of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/opc/v2/",
    "http://168.63.129.16/machine",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata/computeMetadata/v1/",
    "http://metadata.google.internal/computeMetadata/v1/",
    # IPv6, and IPv4 inside IPv6.
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    # Names that mean this machine or this network, or a full-width address.
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://a.localhost/",
    "http://printer.local/",
    "http://router.lan/",
    "http://intranet/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
]

BAD = [
    # Addresses in forms that some parsers take.
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.1/",
    "http://127.0.1/",
    "http://169.254.43518/",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://4294967297/",
    "http://[fe80::1%25eth0]/",
    "http://[::1",
    "http://[127.0.0.1]/",
    "http://[v1.a]/",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    # User information, and what is read as such by some.
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://user:password@example.com/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com\\.127.0.0.1/",
    "http://127.0.0.1\t@example.com/",
    "http:\\\\127.0.0.1\\",
    # Requests inside requests.
    "http://example.com/a\r\nHost: 127.0.0.1",
    "http://example.com/a\nX: y",
    "http://exa\r\nmple.com/",
    "http://example.com/\x00.jpg",
    # Other schemes, and none.
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "file://localhost/etc/passwd",
    "data:image/png;base64,iVBORw0KGgo=",
    "ftp://example.com/a.jpg",
    "gopher://127.0.0.1:70/_GET",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    "jar:http://example.com!/",
    "javascript:alert(1)",
    "/etc/passwd",
    "etc/passwd",
    "../../etc/passwd",
    "//127.0.0.1/a.jpg",
    "C:\\windows\\win.ini",
    "\\\\server\\share",
    "",
    " ",
    "http:",
    "http://",
    "http:///etc/passwd",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "https//127.0.0.1",
    "http://:80/",
    "http://-a.example.com/",
    "http://a..example.com/",
    "http://exam ple.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
    # Ports.
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999999/",
    "http://example.com:22/",
    "http://example.com:6379/",
    "http://example.com:8a/",
    "http://example.com:-80/",
    "http://example.com:80:80/",
    "https://127.0.0.1:11211/",
]

# Names and what the name server says, look-up by look-up.
NAMES = {
    "private.example": [["10.0.0.5"]],
    "loopback.example": [["127.0.0.1"]],
    "metadata.example": [["169.254.169.254"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "sixtofour.example": [["2002:7f00:1::1"]],
    "unspecified.example": [["0.0.0.0"]],
    "mixed.example": [[PUBLIC, "127.0.0.1"]],
    "mixed6.example": [[PUBLIC, "::1"]],
    "private-first.example": [["192.168.0.1", PUBLIC]],
    "public.example": [[PUBLIC]],
    "public6.example": [[OTHER_PUBLIC]],
}

REDIRECTS = [
    "http://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "//127.0.0.1/",
    "http://localhost/",
    "http://loopback.example/",
    "https://mixed.example/",
    "http://public6.example/to-private",
]
BAD_REDIRECTS = [
    "file:///etc/passwd",
    "data:image/png;base64,iVBORw0KGgo=",
    "ftp://public.example/a.jpg",
    "http://public.example:22/",
    "http://user@public.example/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://[::1",
    "http:\\\\127.0.0.1/",
    "javascript:alert(1)",
]


def ask(url: str, names: Names | None = None, faults: dict[str, str] | None = None) -> Answer:
    """One URL through a client with default safety, with proof of what was connected to."""

    async def run() -> Answer:
        settings = NetworkSettings(robots=False, opt_out=False)
        async with Client(settings, resolver(names)) as client:
            return await client.get(url)

    with serving({"/a.jpg": PICTURE}, faults) as server, wired(server) as wire:
        answer = asyncio.run(run())
    wire.prove_nothing_else_was_connected()
    for address in wire.addresses:  # by the standard library's judgement, not ours
        assert ipaddress.ip_address(address).is_global, address
    return answer


def test_the_suite_has_at_least_sixty_hostile_urls() -> None:
    assert len(set(BLOCKED + BAD)) >= 60


@pytest.mark.parametrize("url", BLOCKED)
def test_an_address_that_is_not_public_is_never_connected_to(url: str) -> None:
    assert ask(url).state is UrlState.BLOCKED_ADDRESS


@pytest.mark.parametrize("url", BAD)
def test_a_url_that_is_none_is_never_connected_to(url: str) -> None:
    assert ask(url, Names(NAMES)).state is UrlState.BAD_URL


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("public")])
def test_a_name_with_any_address_that_is_not_public_is_refused(name: str) -> None:
    answer = ask(f"http://{name}/a.jpg", Names(NAMES))
    assert answer.state is UrlState.BLOCKED_ADDRESS
    assert name in answer.detail


@pytest.mark.parametrize("name", ["public.example", "public6.example"])
def test_a_name_with_public_addresses_is_fetched_from_them(name: str) -> None:
    answer = ask(f"http://{name}/a.jpg", Names(NAMES))
    assert (answer.state, answer.data) == (UrlState.OK, PICTURE)
    assert answer.address == NAMES[name][0][0]


@pytest.mark.parametrize("location", REDIRECTS)
def test_a_redirect_to_an_address_that_is_not_public_is_not_followed(location: str) -> None:
    faults = {
        "/start.jpg": f"redirect:{location}",
        "/to-private": "redirect:http://10.0.0.1/",
    }
    answer = ask("http://public.example/start.jpg", Names(NAMES), faults)
    assert answer.state is UrlState.BLOCKED_ADDRESS
    assert answer.redirects[0] == "http://public.example/start.jpg"


@pytest.mark.parametrize("location", BAD_REDIRECTS)
def test_a_redirect_to_what_is_no_allowed_url_is_not_followed(location: str) -> None:
    answer = ask(
        "http://public.example/start.jpg", Names(NAMES), {"/start.jpg": f"redirect:{location}"}
    )
    assert answer.state is UrlState.BAD_URL


def test_a_long_chain_that_ends_on_loopback_stops_before_it() -> None:
    faults = {f"/{n}": f"redirect:/{n + 1}" for n in range(4)}
    faults["/4"] = "redirect:http://127.0.0.1/a.jpg"
    answer = ask("http://public.example/0", Names(NAMES), faults)
    assert answer.state is UrlState.BLOCKED_ADDRESS
    assert len(answer.redirects) == 5


@pytest.mark.parametrize(
    "faults",
    [
        {f"/{n}": f"redirect:/{n + 1}" for n in range(20)},
        {"/0": "redirect:/0"},
        {"/0": "redirect:/1", "/1": "redirect:/0"},
    ],
)
def test_endless_redirects_end(faults: dict[str, str]) -> None:
    answer = ask("http://public.example/0", Names(NAMES), faults)
    assert answer.state is UrlState.TOO_MANY_REDIRECTS


def test_a_name_that_changes_after_the_check_is_connected_to_at_the_checked_address() -> None:
    # Rebinding: whoever looked the name up once to check and again to connect got loopback.
    names = Names({"rebinding.example": [[PUBLIC], ["127.0.0.1"]]})
    answer = ask("http://rebinding.example/a.jpg", names)
    assert (answer.state, answer.address) == (UrlState.OK, PUBLIC)
    assert names.asked == ["rebinding.example"]


def test_a_name_that_changes_between_two_hops_is_refused_at_the_second() -> None:
    names = Names({"rebinding.example": [[PUBLIC], ["169.254.169.254"]]})
    answer = ask("http://rebinding.example/start", names, {"/start": "redirect:/a.jpg"})
    assert answer.state is UrlState.BLOCKED_ADDRESS


def test_robots_txt_of_a_blocked_host_is_not_asked_for() -> None:
    async def run() -> Answer:
        async with Client(NetworkSettings(), resolver(Names(NAMES))) as client:
            return await client.get("http://mixed.example/a.jpg")

    with serving() as server, wired(server) as wire:
        answer = asyncio.run(run())
    assert answer.state is UrlState.BLOCKED_ADDRESS
    assert wire.addresses == []
    assert not server.site.requests


def test_robots_txt_may_not_redirect_to_a_private_address() -> None:
    async def run() -> Answer:
        async with Client(NetworkSettings(), resolver(Names(NAMES))) as client:
            return await client.get("http://public.example/a.jpg")

    faults = {"/robots.txt": "redirect:http://127.0.0.1/robots.txt"}
    with serving({"/a.jpg": PICTURE}, faults) as server, wired(server) as wire:
        answer = asyncio.run(run())
    wire.prove_nothing_else_was_connected()
    assert set(wire.addresses) == {PUBLIC}
    assert answer.state is UrlState.ROBOTS_UNAVAILABLE
    assert "/a.jpg" not in server.site.requests
