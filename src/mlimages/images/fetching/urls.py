"""Strict parsing of http and https URLs: anything two parsers could read differently is refused."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urljoin

from mlimages.errors import require
from mlimages.images.fetching.states import FetchFailure, UrlState

DEFAULT_PORTS = {"http": 80, "https": 443}
MAXIMUM_LENGTH = 8192
_SHAPE = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
# The last label of a host decides whether browsers and C libraries read it as an IPv4 number.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
# What may stand in a path or query as it is (RFC 3986); the rest is percent-encoded.
_KEPT = "/?%:@!$&'()*+,;=-._~[]|"
_PLAIN_TARGET = re.compile(rf"[A-Za-z0-9{re.escape(_KEPT)}]*")
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")


@dataclass(frozen=True, slots=True)
class Url:
    """One http(s) URL in normal form.

    Attributes:
        scheme: "http" or "https".
        host: lower-case ASCII name, or an IP address without brackets.
        port: 1 to 65535.
        target: path and query, as sent in the request line; begins with "/".
        is_address: whether `host` is an IP address.
    """

    scheme: str
    host: str
    port: int
    target: str
    is_address: bool = False

    @property
    def authority(self) -> str:
        """Host and port as the Host header wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a robots.txt governs."""
        return f"{self.scheme}://{self.authority}"

    @property
    def is_local_name(self) -> bool:
        """Whether the name can only mean a machine of this network."""
        if self.is_address:
            return False
        return "." not in self.host or self.host.endswith(tuple("." + n for n in _LOCAL_NAMES))

    def __str__(self) -> str:
        return self.origin + self.target


def parse_url(text: str) -> Url:
    """Parse a URL strictly and bring it into normal form.

    Refused: other schemes, user information, control characters, backslashes, ports that are no
    number, hosts that are numbers in other forms than four plain decimals (`127.1`,
    `2130706433`, `0x7f.1`, `0177.0.0.1`), and percent-encoded hosts. Non-ASCII names go through
    IDNA (UTS 46) and are checked again after it; non-ASCII paths are percent-encoded as UTF-8.

    Raises:
        FetchFailure: with state `bad_url`.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise _bad(f"longer than {MAXIMUM_LENGTH} characters")
    text = text.strip(" ")
    if _CONTROL.search(text):
        raise _bad("a control character")
    if "\\" in text:
        raise _bad("a backslash")
    found = _SHAPE.match(text)
    if found is None:
        raise _bad("not an http or https URL")
    scheme, authority, target = found[1].lower(), found[2], found[3]
    host, port, is_address = _authority(authority, scheme)
    if not target.startswith("/"):
        target = "/" + target
    if not _PLAIN_TARGET.fullmatch(target):
        try:
            target = quote(target, safe=_KEPT)
        except UnicodeEncodeError:
            raise _bad("text that is not Unicode") from None
    return Url(scheme, host, port, target, is_address)


def redirect_target(base: Url, location: str) -> Url:
    """Where a Location header leads (RFC 3986, section 5); raises FetchFailure like `parse_url`."""
    if _CONTROL.search(location) or "\\" in location:
        raise _bad("a redirect with a control character or a backslash")
    try:
        return parse_url(urljoin(str(base), location.strip(" ")))
    except ValueError as error:
        raise _bad(f"a redirect to a malformed URL ({error})") from None


@lru_cache(maxsize=4096)
def _authority(text: str, scheme: str) -> tuple[str, int, bool]:
    """Host, port, and whether the host is an IP address."""
    if "@" in text:
        raise _bad("user information in the URL")
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise _bad("an unclosed bracket")
        host, is_address = _address6(literal), True
    else:
        name, colon, digits = text.partition(":")
        rest = colon + digits
        host, is_address = _host(name)
    if not rest or rest == ":":
        return host, DEFAULT_PORTS[scheme], is_address
    if not re.fullmatch(r":[0-9]{1,5}", rest) or not 0 < int(rest[1:]) < 65536:
        raise _bad("a port that is not a number from 1 to 65535")
    return host, int(rest[1:]), is_address


def _address6(literal: str) -> str:
    if "%" in literal:
        raise _bad("an IPv6 address with a zone")
    try:
        return ipaddress.IPv6Address(literal).compressed
    except ValueError:
        raise _bad("a malformed IPv6 address") from None


def _host(name: str) -> tuple[str, bool]:
    host = name.removesuffix(".")
    if not host.isascii():
        host = _idna(host).removesuffix(".")
    host = host.lower()
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise _bad("a malformed host name")
    if not _NUMERIC.fullmatch(host):
        return host, False
    if not _QUAD.fullmatch(host):
        raise _bad("an IPv4 address in another form than four decimal numbers")
    try:
        return str(ipaddress.IPv4Address(host)), True
    except ValueError:
        raise _bad("a malformed IPv4 address") from None


def _idna(host: str) -> str:
    idna = require("idna", "fetch")
    try:
        return str(idna.encode(host, uts46=True), "ascii")
    except (idna.IDNAError, UnicodeError):
        raise _bad("a host name that IDNA does not allow") from None


def _bad(detail: str) -> FetchFailure:
    return FetchFailure(UrlState.BAD_URL, detail)
