"""One image from the bytes that came to the bytes that are kept: limits, decode, resize, strip.

A pure function, run inside the processes of `verification`: it sees hostile bytes.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from mlimages.images.decoding import decode
from mlimages.images.headers import Header, count_frames, read_header
from mlimages.images.rejection import BadImageError, Reason
from mlimages.images.resizing import encode, geometry, resize
from mlimages.images.settings import ImageSettings
from mlimages.images.stripping import strip_metadata

_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True)
class Verified:
    """An image that can be packed, or the reason why not.

    Attributes:
        data: bytes to keep; the very object that came when nothing had to change.
        format: of `data`: "JPEG", "PNG", "WEBP" or "GIF".
        width: of the upright image that `data` holds, in pixels.
        height: likewise.
        crc32: of `data`.
        md5: of the bytes that came, 32 hexadecimal digits; empty when it was not asked for.
        reason: None for a good image; without one, of the others, only `md5` says anything.
    """

    data: bytes = b""
    format: str = ""
    width: int = 0
    height: int = 0
    crc32: int = 0
    md5: str = ""
    reason: Reason | None = None


def prepare(data: bytes, settings: ImageSettings, *, md5: bool = True) -> Verified:
    """Check an image and bring it into the form in which it is kept; never raises for bad bytes."""
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest() if md5 else ""
    try:
        kept, format_name, width, height = _prepare(data, settings)
    except BadImageError as error:
        return Verified(md5=digest, reason=error.reason)
    except MemoryError:
        return Verified(md5=digest, reason=Reason.DECODER_FAILED)
    return Verified(kept, format_name, width, height, zlib.crc32(kept), digest)


def _prepare(data: bytes, settings: ImageSettings) -> tuple[bytes, str, int, int]:
    header = _within_limits(data, settings)
    stored = (header.width, header.height)
    width, height = stored if header.orientation < 5 else stored[::-1]
    shape = geometry(width, height, settings)
    target = header.format if settings.format == "keep" else _FORMATS[settings.format]
    if shape is None and target == header.format:
        if settings.check == "decode":
            # At an eighth of the size every bit of a JPEG is still read, which is what finds
            # damage; only the arithmetic from coefficients to pixels is left out.
            decode(data, minimum_side=1)
        return strip_metadata(data) if settings.strip_metadata else data, target, width, height
    # A JPEG decoded at just above the size it ends with is visibly softer than the mean of all its
    # pixels; from twice that size on the difference is that of two encodings.
    pixels = decode(data, minimum_side=2 * min(shape.scaled) if shape else None)
    if shape is not None:
        pixels = resize(pixels, shape, settings.interpolation)
    target = "PNG" if target == "GIF" else target
    height, width = pixels.shape[:2]
    return encode(pixels, target, settings.quality), target, width, height


def _within_limits(data: bytes, settings: ImageSettings) -> Header:
    if len(data) > settings.maximum_bytes:
        raise BadImageError(Reason.TOO_MANY_BYTES)
    header = read_header(data)
    shorter, longer = sorted((header.width, header.height))
    if shorter * longer > settings.maximum_pixels:
        raise BadImageError(Reason.TOO_MANY_PIXELS)
    if shorter < settings.minimum_side:
        raise BadImageError(Reason.TOO_SMALL)
    if longer > settings.maximum_aspect * shorter:
        raise BadImageError(Reason.TOO_ELONGATED)
    if count_frames(data, header.format, settings.maximum_frames) > settings.maximum_frames:
        raise BadImageError(Reason.TOO_MANY_FRAMES)
    return header
