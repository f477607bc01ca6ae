"""Names of images: stable, safe in file names and tar members, and short."""

from __future__ import annotations

import hashlib
import re

SAFE_ID = "[a-z0-9_-]{1,64}"
_SAFE = re.compile(SAFE_ID)


def is_safe(name: str) -> bool:
    """Whether a name can be an image's id as it is."""
    return _SAFE.fullmatch(name) is not None


def image_id(place: str, preferred: str | None = None) -> str:
    """The id of an image: the source's own name when it is safe, else a hash of its place.

    Args:
        place: what tells the image from all others, usually its URI.
        preferred: the source's own name for it.

    Returns:
        `preferred`, or 32 hexadecimal digits of BLAKE2b (128 bits) of `place`.
    """
    if preferred is not None and is_safe(preferred):
        return preferred
    return hashlib.blake2b(place.encode("utf-8"), digest_size=16).hexdigest()
