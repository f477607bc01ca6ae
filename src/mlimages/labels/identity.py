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


def is_url(place: str) -> bool:
    """Whether a place is an http(s) URL."""
    return place.startswith(("http://", "https://"))


class ListedImages:
    """The images that one reading listed so far: their ids, and which of them come again."""

    def __init__(self) -> None:
        self._places: set[str] = set()
        self._has_uri: dict[str, bool] = {}  # by id

    def admit(self, name: str, hashed: str, place: str, has_uri: bool) -> str | None:
        """The id of an image, or None when it was listed before.

        It was, when its place was, or its name once with a URI and once without. Another image of
        the same name gets the other id.

        Args:
            name: its id when that is free.
            hashed: its id when it is not.
            place: what tells it from all other images.
            has_uri: whether the place of its bytes is known.
        """
        if place in self._places:
            return None
        if name in self._has_uri:
            if has_uri != self._has_uri[name]:
                return None
            name = hashed
        self._places.add(place)
        self._has_uri[name] = has_uri
        return name
