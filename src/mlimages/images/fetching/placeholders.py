"""Pictures that a host shows instead of the one that was asked for: never a success.

They are known by where a host redirects to, and by what they are: the same bytes under many
addresses of one host. Flickr's "photo unavailable" stood for more than a tenth of the addresses
in ImageNet's lists, so the first of them are found again when enough others have come.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.schemas import PLACEHOLDERS

COPIES = 10
"""Addresses of one host with the same bytes from which on these are a placeholder."""

# Where hosts send those who ask for a photo that is gone: facts about these hosts.
_REDIRECT_TARGETS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(^|\.)(flickr\.com|staticflickr\.com|yimg\.com)/.*photo_(unavailable|not_found)",
        r"(^|\.)imgur\.com/removed\.(png|jpg)",
        r"(^|\.)tinypic\.com/images/404\.gif",
        r"(^|\.)photobucket\.com/.*(bwe|account_disabled|image_not_found)",
        r"/(image|photo|picture)[-_]?(is[-_]?)?(unavailable|not[-_]?(found|available)|missing)"
        r"[^/]*$",
    )
)
# Bits of the filter an image: with two of them set an image, 1.4 % of new bytes look seen before.
_BITS_AN_IMAGE = 16


def host_of(url: str) -> str:
    """Host of an address in lower case; of a local one, nothing."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_placeholder_address(url: str) -> bool:
    """Whether an address that a host redirected to is a known picture of nothing."""
    try:
        parts = urlsplit(url)
        place = f"{(parts.hostname or '').lower()}{parts.path.lower()}"
    except ValueError:
        return False
    return any(target.search(place) for target in _REDIRECT_TARGETS)


class Placeholders:
    """Counts how many addresses of a host gave the same bytes; a few bytes an image.

    What was seen once is two bits of a filter; only what was seen again has a row in memory. A
    first sighting that the filter takes for a second one makes a count too great by one.
    """

    def __init__(self, images: int, copies: int = COPIES) -> None:
        """Know nothing yet.

        Args:
            images: how many may come.
            copies: addresses of a host from which on the same bytes are a placeholder; 0: never.
        """
        self.copies = copies
        bits = max(1 << 16, _BITS_AN_IMAGE * images)
        self._seen = np.zeros(1 << (bits - 1).bit_length() - 3, np.uint8)
        self._again: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._known: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def is_known(self, host: str, md5: str) -> bool:
        """Whether these bytes are a placeholder of the host."""
        return (host, md5) in self._known

    def see(self, host: str, md5: str) -> bool:
        """Count bytes that came from one more address; whether they are a placeholder now.

        Args:
            host: that was asked, not the one it redirected to.
            md5: of the bytes as they came, 32 hexadecimal digits.
        """
        key = (host, md5)
        if key in self._known:
            self._again[key] += 1
            return True
        if not self._was_seen(md5):
            return False
        self._again[key] += 1
        if self.copies and self._again[key] + 1 >= self.copies:
            self._known.add(key)
            return True
        return False

    def remember(self, md5s: Iterable[str]) -> None:
        """Take what earlier runs fetched as seen."""
        for md5 in md5s:
            self._was_seen(md5)

    def known(self) -> list[tuple[str, str]]:
        """(host, MD5) of all placeholders found so far."""
        return sorted(self._known)

    def add(self, table: pa.Table) -> None:
        """Add what earlier runs, or other parts of this one, counted."""
        for record in table.to_pylist():
            key = (record["host"], record["md5"])
            self._again[key] += record["copies"] - 1
            if self.copies and self._again[key] + 1 >= self.copies:
                self._known.add(key)

    def table(self) -> pa.Table:
        """schemas.PLACEHOLDERS: what came from several addresses of a host."""
        keys = sorted(self._again)
        columns = {
            "host": [host for host, _ in keys],
            "md5": [md5 for _, md5 in keys],
            "copies": [self._again[key] + 1 for key in keys],
            "placeholder": [key in self._known for key in keys],
        }
        return pa.table(columns, schema=PLACEHOLDERS)

    def _was_seen(self, md5: str) -> bool:
        """Whether the filter holds these bytes; afterwards it does."""
        value = int(md5, 16)
        mask = 8 * len(self._seen) - 1
        seen = True
        for place in (value & mask, (value >> 64) & mask):
            byte, bit = place >> 3, 1 << (place & 7)
            seen &= bool(self._seen[byte] & bit)
            self._seen[byte] |= bit
        return seen


def taken_before(rights: pa.Table, found: Iterable[tuple[str, str]]) -> NDArray[np.int32]:
    """Rows of images whose bytes turned out to be a placeholder after they had been taken.

    Args:
        rights: `row`, `uri` and `md5` of what was fetched.
        found: (host, MD5) of placeholders.
    """
    wanted = set(found)
    md5s = pa.array(sorted({md5 for _, md5 in wanted}), pa.string())
    suspects = rights.filter(pc.is_in(rights["md5"], md5s)).select(["row", "uri", "md5"])
    rows = [
        record["row"]
        for record in suspects.to_pylist()
        if (host_of(record["uri"]), record["md5"]) in wanted
    ]
    return np.array(sorted(rows), np.int32)
