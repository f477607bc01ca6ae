"""The network's settings, as the options of commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.images.fetching.settings import NetworkSettings


def network_settings(
    contact: str | None,
    concurrency: int,
    a_host: int,
    host_rate: float | None,
    allow_private_addresses: bool,
    **others: Any,
) -> NetworkSettings:
    """Settings of the network; `others` are named as in `NetworkSettings`."""
    from mlimages.errors import InputError
    from mlimages.images.fetching.hosts import HostLimits
    from mlimages.images.fetching.settings import DEFAULT_CONTACT, NetworkSettings

    if concurrency < 1:
        raise InputError(f"--concurrency {concurrency}", "too few", "use 1 or more")
    return NetworkSettings(
        contact=contact or DEFAULT_CONTACT,
        ports=None if allow_private_addresses else NetworkSettings().ports,
        allow_private_addresses=allow_private_addresses,
        connections=concurrency,
        idle_connections=concurrency,
        hosts=HostLimits(connections=a_host, rate=host_rate),
        **others,
    )
