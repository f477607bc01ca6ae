"""What became of a URL: a closed list, so that a fetch can be resumed, retried and counted.

The numbers are on disk (one byte a URL in the ledger): they never change, and new states are
appended.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mlimages.images.rejection import Reason


class UrlState(IntEnum):
    """The state of one candidate URL. `ok` means that its bytes are here."""

    PENDING = 0
    OK = 1
    # Nothing was asked of the host.
    BAD_URL = 2
    BLOCKED_ADDRESS = 3
    ROBOTS = 4
    ROBOTS_UNAVAILABLE = 5
    HOST_DOWN = 6
    # No answer came.
    NO_SUCH_HOST = 10
    DNS = 11
    REFUSED = 12
    TLS = 13
    TIMEOUT = 14
    TOO_SLOW = 15
    CONNECTION_LOST = 16
    BAD_ANSWER = 17
    # The host answered, but not with an image.
    GONE = 20
    UNAUTHORISED = 21
    RATE_LIMITED = 22
    SERVER_ERROR = 23
    HTTP_STATUS = 24
    TOO_MANY_REDIRECTS = 25
    TOO_LARGE = 26
    CONTENT_ENCODING = 27
    EMPTY = 28
    # Bytes came, and are no image that can be used.
    NOT_AN_IMAGE = 40
    UNSUPPORTED_FORMAT = 41
    TOO_MANY_PIXELS = 42
    TOO_ELONGATED = 43
    TOO_MANY_FRAMES = 44
    TRUNCATED = 45
    DAMAGED = 46
    DECODER_TIMED_OUT = 47
    DECODER_FAILED = 48
    TOO_SMALL = 49
    # An image came, and is not the one that was asked for.
    PLACEHOLDER = 60
    CHANGED = 61
    # The image may not be used.
    OPTED_OUT = 80
    REMOVED = 81

    @property
    def label(self) -> str:
        """The name shown to users and in tables: "rate limited"."""
        return self.name.lower().replace("_", " ")

    @property
    def retryable(self) -> bool:
        """Whether asking again later can succeed without anyone changing the list of URLs."""
        return _MEANINGS[self].retryable

    @property
    def advice(self) -> str:
        """What to do about URLs that ended so; for reports."""
        return _MEANINGS[self].advice


@dataclass(frozen=True, slots=True)
class _Meaning:
    retryable: bool
    advice: str


_LATER = "run fetch again later"
_COPY = "use another copy of the image"

_MEANINGS = {
    UrlState.PENDING: _Meaning(True, "run fetch"),
    UrlState.OK: _Meaning(False, "nothing to do"),
    UrlState.BAD_URL: _Meaning(False, "correct the URL in the source list"),
    UrlState.BLOCKED_ADDRESS: _Meaning(
        False, "use a URL on a public host; local images are imported from their files"
    ),
    UrlState.ROBOTS: _Meaning(False, "respect it, or ask the host's owner for permission"),
    UrlState.ROBOTS_UNAVAILABLE: _Meaning(True, _LATER),
    UrlState.HOST_DOWN: _Meaning(True, "run fetch again when the host answers"),
    UrlState.NO_SUCH_HOST: _Meaning(False, "the host is gone; " + _COPY),
    UrlState.DNS: _Meaning(True, "check the name servers of this machine, then run fetch again"),
    UrlState.REFUSED: _Meaning(True, _LATER),
    UrlState.TLS: _Meaning(False, "the host's certificate or TLS version is not accepted"),
    UrlState.TIMEOUT: _Meaning(True, _LATER),
    UrlState.TOO_SLOW: _Meaning(True, "run fetch again later, or allow more time an image"),
    UrlState.CONNECTION_LOST: _Meaning(True, _LATER),
    UrlState.BAD_ANSWER: _Meaning(False, "the host does not speak HTTP/1.1; " + _COPY),
    UrlState.GONE: _Meaning(False, _COPY),
    UrlState.UNAUTHORISED: _Meaning(False, "ask the host's owner for permission"),
    UrlState.RATE_LIMITED: _Meaning(True, "run fetch again later, with fewer connections a host"),
    UrlState.SERVER_ERROR: _Meaning(True, _LATER),
    UrlState.HTTP_STATUS: _Meaning(False, _COPY),
    UrlState.TOO_MANY_REDIRECTS: _Meaning(False, "use the URL the redirects lead to"),
    UrlState.TOO_LARGE: _Meaning(False, "use a smaller copy, or allow more bytes an image"),
    UrlState.CONTENT_ENCODING: _Meaning(False, "the host compresses what it must not; " + _COPY),
    UrlState.EMPTY: _Meaning(True, _LATER),
    UrlState.NOT_AN_IMAGE: _Meaning(False, _COPY),
    UrlState.UNSUPPORTED_FORMAT: _Meaning(False, "use a copy in JPEG, PNG, WebP or GIF"),
    UrlState.TOO_MANY_PIXELS: _Meaning(False, "use a smaller copy, or allow more pixels"),
    UrlState.TOO_ELONGATED: _Meaning(False, "allow a greater ratio of the sides"),
    UrlState.TOO_MANY_FRAMES: _Meaning(False, "use a still image, or allow more frames"),
    UrlState.TRUNCATED: _Meaning(True, _LATER),
    UrlState.DAMAGED: _Meaning(False, _COPY),
    UrlState.DECODER_TIMED_OUT: _Meaning(False, _COPY),
    UrlState.DECODER_FAILED: _Meaning(False, _COPY),
    UrlState.TOO_SMALL: _Meaning(False, "use a larger copy, or allow smaller images"),
    UrlState.PLACEHOLDER: _Meaning(False, "the photo was deleted; " + _COPY),
    UrlState.CHANGED: _Meaning(False, "the source's checksum is of another file; " + _COPY),
    UrlState.OPTED_OUT: _Meaning(False, "respect it, or ask the host's owner for permission"),
    UrlState.REMOVED: _Meaning(False, "nothing to do: it is on the removal list"),
}

# By value, since the list of reasons belongs to the checks of images.
_OF_REASONS = {
    "empty": UrlState.EMPTY,
    "not an image": UrlState.NOT_AN_IMAGE,
    "unsupported format": UrlState.UNSUPPORTED_FORMAT,
    "too many bytes": UrlState.TOO_LARGE,
    "too many pixels": UrlState.TOO_MANY_PIXELS,
    "too small": UrlState.TOO_SMALL,
    "too elongated": UrlState.TOO_ELONGATED,
    "too many frames": UrlState.TOO_MANY_FRAMES,
    "truncated": UrlState.TRUNCATED,
    "decoder timed out": UrlState.DECODER_TIMED_OUT,
    "decoder failed": UrlState.DECODER_FAILED,
}


def state_of_reason(reason: Reason) -> UrlState:
    """The state of a URL whose bytes were turned away for `reason`."""
    return _OF_REASONS.get(reason.value, UrlState.DAMAGED)


def state_of_status(status: int) -> UrlState:
    """The state for an HTTP status that carries no image (RFC 9110, section 15)."""
    named = {
        204: UrlState.EMPTY,
        205: UrlState.EMPTY,
        401: UrlState.UNAUTHORISED,
        403: UrlState.UNAUTHORISED,
        404: UrlState.GONE,
        408: UrlState.SERVER_ERROR,
        410: UrlState.GONE,
        425: UrlState.SERVER_ERROR,
        429: UrlState.RATE_LIMITED,
        503: UrlState.RATE_LIMITED,
    }
    if status in named:
        return named[status]
    return UrlState.SERVER_ERROR if 500 <= status < 600 else UrlState.HTTP_STATUS


class FetchFailure(Exception):  # noqa: N818 - an outcome of a URL, not an error of the program
    """One URL ended without its bytes; `Client.get` turns it into an `Answer`."""

    def __init__(
        self,
        state: UrlState,
        detail: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.state, self.detail = state, detail
        self.status, self.retry_after = status, retry_after
