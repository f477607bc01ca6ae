"""What a user may set about the network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mlimages import __version__
from mlimages.errors import InputError
from mlimages.images.fetching.host_state import HostLimits

PRODUCT = "mlimages"
CONCURRENCY = 2048
"""Requests under way, all hosts together."""
DEFAULT_CONTACT = "https://pypi.org/project/mlimages/"
_POSITIVE = (
    "connections",
    "idle_seconds",
    "connect_seconds",
    "answer_seconds",
    "total_seconds",
    "rate_window_seconds",
    "maximum_bytes",
)


@dataclass(frozen=True)
class NetworkSettings:
    """Limits, courtesy and safety of the network side of a fetch.

    Attributes:
        contact: URL or mail address that goes into the user agent, for owners of hosts.
        ports: ports that may be connected to; None: any.
        allow_private_addresses: connect to loopback and private addresses too (for tests).
        nameservers: asked instead of the system's.
        ca_file: certificates to trust instead of the system's.
        hosts: see HostLimits.
        patience: seconds to wait for a host that rests, before a URL is handed back unasked.
        connections: connections in use at the same time, over all hosts.
        idle_connections: connections kept open for the next image, over all hosts.
        idle_seconds: for how long each is kept.
        connect_seconds: for connection and TLS handshake.
        answer_seconds: from request to the end of the answer's head.
        total_seconds: for one image with all redirects, not counting queues.
        minimum_rate: bytes a second that a body must keep up.
        rate_window_seconds: over windows of this length.
        maximum_bytes: of an image.
        maximum_redirects: followed.
        robots: honour robots.txt.
        opt_out: honour X-Robots-Tag and TDM-Reservation; they are recorded in any case.
    """

    contact: str = DEFAULT_CONTACT
    ports: frozenset[int] | None = frozenset({80, 443})
    allow_private_addresses: bool = False
    nameservers: tuple[str, ...] = ()
    ca_file: str | None = None
    hosts: HostLimits = field(default_factory=HostLimits)
    patience: float = 5.0
    connections: int = CONCURRENCY
    idle_connections: int = CONCURRENCY
    idle_seconds: float = 15.0
    connect_seconds: float = 10.0
    answer_seconds: float = 20.0
    total_seconds: float = 60.0
    minimum_rate: float = 2048.0
    rate_window_seconds: float = 5.0
    maximum_bytes: int = 50 * 1024 * 1024
    maximum_redirects: int = 5
    robots: bool = True
    opt_out: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x21-\x7e]{1,200}", self.contact):
            raise InputError(self.contact, "no contact for a user agent", "give a URL or address")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} {getattr(self, name)}", "not positive", "use more than 0")
        for name in ("patience", "minimum_rate", "idle_connections", "maximum_redirects"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)}", "negative", "use 0 or more")

    @property
    def user_agent(self) -> str:
        """Who we are: product, version, and whom to write to."""
        return f"{PRODUCT}/{__version__} (+{self.contact})"
