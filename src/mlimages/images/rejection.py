"""Why an image was rejected: a closed list, so that rejects can be counted and queried."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from mlimages.errors import InputError


class Reason(StrEnum):
    """Every reason for which an image is turned away. The values are what users and tables see."""

    # Its bytes could not be had.
    NOT_FETCHED = "not fetched"
    MISSING_FILE = "missing file"
    MISSING_MEMBER = "missing in archive"
    DAMAGED_ARCHIVE = "damaged archive"
    UNREADABLE = "unreadable"
    UNKNOWN_ADDRESS = "unknown kind of address"
    # Its bytes are no image that can be used.
    EMPTY = "empty"
    NOT_AN_IMAGE = "not an image"
    UNSUPPORTED_FORMAT = "unsupported format"
    TOO_MANY_BYTES = "too many bytes"
    TOO_MANY_PIXELS = "too many pixels"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_SMALL = "too small"
    TOO_ELONGATED = "too elongated"
    TOO_MANY_FRAMES = "too many frames"
    # The process that decoded it had to be stopped, or died.
    DECODER_TIMED_OUT = "decoder timed out"
    DECODER_FAILED = "decoder failed"


ACTIONS = {
    Reason.NOT_FETCHED: "download it first and import the local file",
    Reason.MISSING_FILE: "check the path",
    Reason.MISSING_MEMBER: "check the name and the archive",
    Reason.DAMAGED_ARCHIVE: "get an intact, uncompressed tar",
    Reason.UNREADABLE: "check its permissions and the disk",
    Reason.UNKNOWN_ADDRESS: "use a path, an http(s) address, or one that docs/sources.md names",
    Reason.UNSUPPORTED_FORMAT: "convert it to JPEG, PNG, WebP or GIF",
    Reason.TOO_MANY_BYTES: "use a smaller copy",
    Reason.TOO_MANY_PIXELS: "use a smaller copy",
    Reason.TOO_SMALL: "use a larger copy",
    Reason.TOO_ELONGATED: "cut it, or raise the limit of its aspect",
    Reason.TOO_MANY_FRAMES: "keep its first frame only",
}


class RejectedError(InputError):
    """One image cannot be used; `reason` says why, from the closed list."""

    def __init__(self, reason: Reason | str, thing: object = "image") -> None:
        self.reason = Reason(reason)
        super().__init__(thing, self.reason.value, ACTIONS.get(self.reason, "use an intact copy"))

    def __reduce__(self) -> Any:
        return type(self), (self.reason, self.thing)


class UnreadableError(RejectedError):
    """The bytes behind an address cannot be had."""


class BadImageError(RejectedError):
    """Bytes that are no usable image."""
