"""Dropping metadata from an image file without touching its pixels.

EXIF (with its GPS position and thumbnail), XMP, IPTC, comments, unknown blocks and whatever follows
the end of the image go; what decides the pixels and their colours stays, colour profiles included.
An orientation other than upright is kept in an EXIF block that holds nothing else.
"""

from __future__ import annotations

import re
import struct
import zlib

from mlimages.images.headers import gif_parts, png_chunks, read_header, webp_chunks
from mlimages.images.rejection import BadImageError, Reason

# ISO 10918-1: any marker but a stuffed zero, a restart or a fill byte ends entropy-coded data.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MARKER = re.compile(rb"\xff+([^\xff\x00])", re.DOTALL)
# Application segments that change how pixels are decoded or shown: marker, how they begin.
_KEPT_SEGMENTS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_COMMENT = 0xFE
_PNG_CHUNKS = frozenset(
    b"tRNS cHRM gAMA iCCP sBIT sRGB bKGD hIST pHYs sPLT acTL fcTL fdAT cICP mDCV cLLI".split()
)
_WEBP_CHUNKS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP")
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of the chunk VP8X
_GIF_EXTENSIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


def strip_metadata(data: bytes) -> bytes:
    """Drop metadata from a JPEG, PNG, WebP or GIF; `data` itself when there is none.

    Raises:
        BadImageError: as `headers.read_header`, and "damaged" or "truncated" when the file's
            structure ends early.
    """
    header = read_header(data)
    try:
        stripped = _STRIPPERS[header.format](data, header.orientation)
    except (struct.error, IndexError):
        raise BadImageError(Reason.TRUNCATED) from None
    return data if len(stripped) == len(data) and stripped == data else stripped


def orientation_only(orientation: int) -> bytes:
    """A TIFF block (TIFF 6.0, section 2) whose one entry is the orientation (tag 0x0112, short)."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _strip_jpeg(data: bytes, orientation: int) -> bytes:
    kept = [data[:2]]
    position = 2
    exif = b"Exif\0\0" + orientation_only(orientation) if orientation != 1 else b""
    while True:
        found = _MARKER.search(data, position)
        if found is None:
            return b"".join([*kept, data[position:]])  # cut: the decoder has the word
        position, marker = found.end(), data[found.end() - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if exif and marker != 0xE0:  # behind JFIF, which wants to be first
            kept.append(struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif)
            exif = b""
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        (length,) = struct.unpack_from(">H", data, position)
        end = position + length
        if _is_kept(marker, data, position + 2):
            kept += [bytes((0xFF, marker)), data[position:end]]
        if marker == 0xDA:
            scan_end = _END_OF_SCAN.search(data, end)
            if scan_end is None:
                return b"".join([*kept, data[end:]])
            kept.append(data[end : scan_end.start()])
            end = scan_end.start()
        position = end


def _is_kept(marker: int, data: bytes, content: int) -> bool:
    if 0xE0 <= marker <= 0xEF:
        start = _KEPT_SEGMENTS.get(marker)
        return start is not None and data.startswith(start, content)
    return marker != _COMMENT


def _strip_png(data: bytes, orientation: int) -> bytes:
    kept = [data[:8]]
    for kind, start, length in png_chunks(data):
        if not kind[0] & 0x20 or kind in _PNG_CHUNKS:
            kept.append(data[start - 8 : start + length + 4])
        if kind == b"IHDR" and orientation != 1:
            content = b"eXIf" + orientation_only(orientation)
            kept.append(struct.pack(">I", len(content) - 4) + content)
            kept.append(struct.pack(">I", zlib.crc32(content)))
        if kind == b"IEND":
            break
    return b"".join(kept)


def _strip_webp(data: bytes, orientation: int) -> bytes:
    riff = data[: struct.unpack_from("<I", data, 4)[0] + 8]
    kept = []
    for kind, start, length in webp_chunks(riff):
        end = start + length + (length & 1)
        if kind == b"VP8X":
            flags = data[start] & ~(_WEBP_EXIF | _WEBP_XMP)
            flags |= _WEBP_EXIF if orientation != 1 else 0
            kept += [data[start - 8 : start], bytes((flags,)), data[start + 1 : end]]
        elif kind in _WEBP_CHUNKS:
            kept.append(data[start - 8 : end])
    if orientation != 1:
        exif = orientation_only(orientation)
        kept.append(struct.pack("<4sI", b"EXIF", len(exif)) + exif)
    body = b"".join(kept)
    return struct.pack("<4sI4s", b"RIFF", len(body) + 4, b"WEBP") + body


def _strip_gif(data: bytes, _: int) -> bytes:
    parts = list(gif_parts(data))
    if not parts or data[parts[-1][1] : parts[-1][1] + 1] != b"\x3b":
        return data  # cut: the decoder has the word
    kept = [data[: parts[0][0]]]
    for start, end in parts:
        label = data[start + 1] if data[start] == 0x21 else 0
        foreign = label == 0xFF and not data.startswith(_GIF_EXTENSIONS, start + 3)
        if label != _COMMENT and not foreign:
            kept.append(data[start:end])
    return b"".join([*kept, b"\x3b"])


_STRIPPERS = {"JPEG": _strip_jpeg, "PNG": _strip_png, "WEBP": _strip_webp, "GIF": _strip_gif}
