from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.images.pictures import encode, smooth

from mlimages.images import decoding
from mlimages.images.decoding import BadImageError, ImageInfo, decode, probe


def reason(data: bytes) -> str:
    with pytest.raises(BadImageError) as caught:
        decode(data)
    return str(caught.value.reason)


@pytest.mark.parametrize("length", range(1, 24))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_the_first_bytes_of_an_image_are_truncated(format_name: str, length: int) -> None:
    assert reason(encode(smooth(40, 30), format_name)[:length]) == "truncated"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"Not found: the photo you asked for was removed.\n" * 40, "not an image"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not an image"),
        (bytes(5000), "not an image"),
        (encode(smooth(20, 20), "BMP"), "unsupported format"),
        (encode(smooth(20, 20), "TIFF"), "unsupported format"),
        (b"\0\0\0\x20ftypavif" + bytes(100), "unsupported format"),
        (b"\xff\xd8\xff\xe0" + b"text that only begins like a photo" * 9, "truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"text that only begins like a picture", "damaged"),
    ],
)
def test_what_is_no_image_has_a_reason(data: bytes, expected: str) -> None:
    assert reason(data) == expected
    with pytest.raises(BadImageError):
        probe(data)


def png_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + checked


def declare_size(format_name: str, width: int, height: int) -> bytes:
    """A tiny file whose header asks for a huge image."""
    if format_name == "PNG":
        return png_header(width, height) + bytes(100)
    data = bytearray(encode(smooth(16, 16), format_name))
    if format_name == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", height, width)
    elif format_name == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    else:
        data[26:30] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize(
    ("format_name", "side"), [("PNG", 200_000), ("JPEG", 60_000), ("GIF", 60_000), ("WEBP", 16_000)]
)
def test_a_huge_declared_size_is_refused_before_decoding(
    format_name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = declare_size(format_name, side, side)
    monkeypatch.setattr(decoding, "_decode_with_pillow", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(decoding, "_decode_jpeg", lambda *_: pytest.fail("decoded"))
    assert reason(data) == "too many pixels"


def test_a_gif_frame_larger_than_its_header_is_refused() -> None:
    data = bytearray(encode(smooth(16, 16), "GIF"))
    start = data.index(b",\0\0\0\0\x10\0\x10\0") + 1
    data[start : start + 8] = struct.pack("<HHHH", 0, 0, 60_000, 60_000)
    assert reason(bytes(data)) == "too many pixels"


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(smooth(64, 64))
    monkeypatch.setattr(decoding, "MAXIMUM_BYTES", len(data) - 1)
    assert reason(data) == "too many bytes"


def test_zero_width_is_damaged() -> None:
    assert reason(png_header(0, 10)) == "damaged"


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"x"}])
def test_each_kind_of_webp_has_its_size_read(options: dict) -> None:
    assert probe(encode(smooth(51, 33), "WEBP", **options)) == ImageInfo("WEBP", 51, 33)


def test_a_gif_with_extensions_before_its_first_frame_keeps_its_size() -> None:
    data = encode(smooth(30, 20), "GIF", comment=b"x" * 700, transparency=0, loop=3, duration=9)
    assert probe(data) == ImageInfo("GIF", 30, 20)
    assert decode(data).shape == (20, 30, 3)


def test_a_damaged_exif_block_is_ignored() -> None:
    data = encode(smooth(20, 10), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).shape == (10, 20, 3)


SEEDS = [encode(smooth(24, 18), name) for name in ("JPEG", "PNG", "WEBP", "GIF")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_bytes_changed_anywhere_decode_or_have_a_reason(seed: bytes, data: st.DataObject) -> None:
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(seed) - 1))
        changed[position] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = decode(bytes(changed))
        except BadImageError:
            return
    info = probe(bytes(changed))
    assert found.dtype == np.uint8
    assert found.shape == (info.height, info.width, 3)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_have_a_reason(data: bytes) -> None:
    with pytest.raises(BadImageError):
        decode(data)
