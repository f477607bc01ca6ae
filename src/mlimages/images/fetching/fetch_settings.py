"""How a database is fetched."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlimages.errors import InputError
from mlimages.images.fetching.placeholders import COPIES
from mlimages.images.fetching.settings import CONCURRENCY, NetworkSettings
from mlimages.images.fetching.shelves import SEAL_SECONDS


@dataclass(frozen=True)
class FetchSettings:
    """How addresses are tried, beside what the network may do.

    Attributes:
        network: of the client: user agent, limits, courtesy.
        attempts: tries of an address that fails in a way that may pass; all addresses of an image
            are tried in order before any is tried again.
        retry: try also those again that used up their attempts in earlier runs.
        concurrency: requests under way, all hosts together.
        pause: seconds before failed addresses are tried again; twice as long each time.
        patience: seconds to wait, in all, for hosts that asked to be left alone.
        placeholder_copies: addresses of one host from which on the same bytes are a placeholder; 0
            finds only those that are known by name.
        seal_seconds: after which a shard is sealed however small it is.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    attempts: int = 3
    retry: bool = False
    concurrency: int = CONCURRENCY
    pause: float = 2.0
    patience: float = 600.0
    placeholder_copies: int = COPIES
    seal_seconds: float = SEAL_SECONDS

    def __post_init__(self) -> None:
        for name, least in (("attempts", 1), ("concurrency", 1), ("placeholder_copies", 0)):
            if getattr(self, name) < least:
                cause = f"{getattr(self, name)} is too few"
                raise InputError(name.replace("_", " "), cause, f"use {least} or more")
        for name in ("pause", "patience", "seal_seconds"):
            if getattr(self, name) < 0:
                raise InputError(
                    name.replace("_", " "), "is less than nothing", "use 0 seconds or more"
                )
