"""What became of one URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mlimages.images.fetching.http1 import Response
from mlimages.images.fetching.states import UrlState


@dataclass(frozen=True)
class Answer:
    """What became of one URL.

    Attributes:
        state: `ok`: the bytes are here and begin like an image. `pending`: the host rests and was
            not asked; ask again after `retry_after` seconds.
        status: HTTP status of the last answer; 0 without one.
        data: the body when `ok`, else empty.
        final_url: the URL of the last request.
        address: IP address of the last connection; "" without one.
        detail: one line on what happened, for people.
        retry_after: seconds, when the host or its resting says so.
        signals: what the host said about the use of the image, as `name: value`.
        redirects: URLs that were left for another, in order.
        seconds: from call to answer, with all waiting.
    """

    state: UrlState
    status: int = 0
    data: bytes = b""
    final_url: str = ""
    address: str = ""
    detail: str = ""
    retry_after: float | None = None
    signals: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    seconds: float = 0.0


def retry_after(response: Response) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, section 10.2.3)."""
    text = response.first("retry-after")
    if text is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
