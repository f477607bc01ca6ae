"""Format, size and orientation from an image's first bytes, before any decoder sees them.

A decoder allocates what a header asks for; reading the header here first is what lets limits hold
against a file made to exhaust the memory. Only the four formats of the web are parsed.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mlimages.images.rejection import BadImageError, Reason

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_MAGIC = {"JPEG": (b"\xff\xd8\xff",), "PNG": (b"\x89PNG\r\n\x1a\n",), "GIF": (b"GIF87a", b"GIF89a")}
# Pictures that people do have, so that the reason can say "unsupported" and not "not an image".
_OTHER_PICTURES = (b"II*\0", b"MM\0*", b"8BPS", b"\0\0\1\0", b"\0\0\0\x0cjP  ", b"%PDF-", b"P6\n")
_ORIENTATION_TAG = 0x0112
# Decoders step over stray bytes between segments, and over any number of fill bytes.
_JPEG_MARKER = re.compile(rb"\xff+([^\xff\x00])", re.DOTALL)
_EXIF_START = b"Exif\0\0"


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        format: a key of EXTENSIONS.
        width: of the stored pixels, before `orientation` is applied.
        height: likewise.
        channels: colour components of a JPEG (4: CMYK); 0 for other formats.
        orientation: EXIF orientation, 1 (upright) to 8.
    """

    format: str
    width: int
    height: int
    channels: int = 0
    orientation: int = 1


def read_header(data: bytes) -> Header:
    """Parse the header of a JPEG, PNG, WebP or GIF.

    Raises:
        BadImageError: "empty", "not an image", "unsupported format", "truncated" or "damaged".
    """
    if not data:
        raise BadImageError(Reason.EMPTY)
    parser = _PARSERS[sniff(data)]
    try:
        header = parser(data)
    except (struct.error, IndexError):
        raise BadImageError(Reason.TRUNCATED) from None
    if header.width == 0 or header.height == 0:
        raise BadImageError(Reason.DAMAGED)
    return header


def sniff(data: bytes) -> str:
    """Format by the first bytes; raises BadImageError when it is none of EXTENSIONS."""
    for format_name, starts in _MAGIC.items():
        if data.startswith(starts):
            return format_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    known = [start for group in _MAGIC.values() for start in group]
    if any(start.startswith(data) for start in known) or _begins_webp(data):
        raise BadImageError(Reason.TRUNCATED)
    # AVIF and HEIC are ISO media files: a box length, then "ftyp".
    windows_bitmap = data.startswith(b"BM") and data[6:10] == bytes(4)
    if data.startswith(_OTHER_PICTURES) or data[4:8] == b"ftyp" or windows_bitmap:
        raise BadImageError(Reason.UNSUPPORTED_FORMAT)
    raise BadImageError(Reason.NOT_AN_IMAGE)


def check_png(data: bytes) -> None:
    """Raise BadImageError unless all critical chunks are there and intact.

    Pillow checks neither the checksums of the pixels nor that the file has its end.
    """
    for kind, start, length in png_chunks(data):
        end = start + length
        if end + 4 > len(data):
            raise BadImageError(Reason.TRUNCATED)
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise BadImageError(Reason.DAMAGED)
        if kind == b"IEND":
            return
    raise BadImageError(Reason.TRUNCATED)


def count_frames(data: bytes, format_name: str, limit: int) -> int:
    """Frames of an animation by its structure, without decoding; stops beyond `limit`."""
    frames = 0
    if format_name == "PNG":
        for kind, start, _ in png_chunks(data):
            if kind == b"IDAT":
                break
            if kind == b"acTL" and start + 4 <= len(data):
                frames = int.from_bytes(data[start : start + 4])
    elif format_name == "WEBP" and data[12:16] == b"VP8X":
        for kind, _, _ in webp_chunks(data):
            frames += kind == b"ANMF"
            if frames > limit:
                break
    elif format_name == "GIF":
        for start, _ in gif_parts(data):
            frames += data[start] == 0x2C
            if frames > limit:
                break
    return max(1, frames)


def _begins_webp(data: bytes) -> bool:
    return len(data) < 12 and b"RIFF".startswith(data[:4]) and b"WEBP".startswith(data[8:12])


def _jpeg(data: bytes) -> Header:
    # ISO 10918-1, annex B: segments of marker, length, content, up to a frame header (SOF).
    position, orientation = 2, 1
    while True:
        found = _JPEG_MARKER.search(data, position)
        if found is None:
            raise BadImageError(Reason.TRUNCATED)
        position, marker = found.end(), data[found.end() - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # no content
            continue
        if marker in (0xD9, 0xDA):  # end, or pixels, before any frame header
            raise BadImageError(Reason.DAMAGED)
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise BadImageError(Reason.DAMAGED)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, channels = struct.unpack_from(">HHB", data, position + 3)
            return Header("JPEG", width, height, channels, orientation)
        if marker == 0xE1 and data.startswith(_EXIF_START, position + 2):
            content = data[position + 2 + len(_EXIF_START) : position + length]
            orientation = exif_orientation(content)
        position += length


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise BadImageError(Reason.DAMAGED)
    for kind, start, length in png_chunks(data):
        if kind == b"eXIf":
            return Header("PNG", width, height, 0, exif_orientation(data[start : start + length]))
    return Header("PNG", width, height)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, position of the content, its length) of each chunk that has begun."""
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, length
        position += length + 12


def _gif(data: bytes) -> Header:
    # GIF89a, sections 18 to 24: screen, its colours, extensions, then the first frame.
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[position] == 0x21:  # an extension: its label, then blocks up to an empty one
        position += 2
        while data[position]:
            position += data[position] + 1
        position += 1
    if data[position] != 0x2C:
        raise BadImageError(Reason.DAMAGED)
    # A frame may reach beyond the screen; decoders make room for it.
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, position + 1)
    return Header("GIF", max(width, left + frame_width), max(height, top + frame_height))


def gif_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each extension (0x21) and frame (0x2C) that is whole, in order."""
    position = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    try:
        while data[position] in (0x21, 0x2C):
            start = position
            if data[position] == 0x21:
                position += 2
            else:
                flags = data[position + 9]
                position += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            while data[position]:  # blocks up to an empty one
                position += data[position] + 1
            position += 1
            yield start, position
    except IndexError:
        return


def _webp(data: bytes) -> Header:
    (riff_length,) = struct.unpack_from("<I", data, 4)
    kind = data[12:16]
    orientation = 1
    if kind == b"VP8 ":  # RFC 6386, 9.1: 3 bytes of frame tag, 3 of start code, two 14-bit sizes
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 26))
    elif kind == b"VP8L":  # 1 byte of signature, then two 14-bit sizes less one
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":  # 1 byte of flags, 3 reserved, two 24-bit sizes less one
        struct.unpack_from("<10s", data, 20)
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        orientation = _webp_orientation(data)
    else:
        raise BadImageError(Reason.TRUNCATED if len(data) < 16 else Reason.DAMAGED)
    if riff_length + 8 > len(data):
        raise BadImageError(Reason.TRUNCATED)
    return Header("WEBP", width, height, 0, orientation)


def _webp_orientation(data: bytes) -> int:
    for kind, start, length in webp_chunks(data):
        if kind == b"EXIF":
            return exif_orientation(data[start : start + length].removeprefix(_EXIF_START))
    return 1


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, position of the content, its length) of each chunk that has begun."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, length
        position += 8 + length + (length & 1)


def exif_orientation(content: bytes) -> int:
    """Orientation, 1 to 8, of an EXIF block (TIFF 6.0, section 2); 1 when it has none."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", content, 4)
        (entries,) = struct.unpack_from(order + "H", content, directory)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(
                order + "HHIH", content, directory + 2 + 12 * entry
            )
            if tag == _ORIENTATION_TAG:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        return 1  # a damaged EXIF block does not make the pixels unusable
    return 1


_PARSERS = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WEBP": _webp}
