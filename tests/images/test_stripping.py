from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from tests.images.pictures import encode, smooth

from mlimages.images.decoding import decode, probe
from mlimages.images.headers import read_header
from mlimages.images.stripping import strip_metadata

SECRETS = (b"Exif\0\0", b"GPSSECRET", b"http://ns.adobe.com/xap/1.0/", b"Photoshop 3.0", b"MPF\0")
GPS_DIRECTORY = 0x8825


def exif(orientation: int | None) -> bytes:
    block = Image.Exif()
    block[0x010E] = "GPSSECRET description"
    block.get_ifd(GPS_DIRECTORY)[1] = "N"
    block.get_ifd(GPS_DIRECTORY)[2] = (48.0, 8.0, 2.0)
    if orientation is not None:
        block[0x0112] = orientation
    return block.tobytes()


def picture(kind: str, orientation: int | None, mode: str, profile: bool, seed: int) -> bytes:
    """A picture that says everything that a camera and its owner would say."""
    image = Image.fromarray(smooth(41, 23, seed=seed)).convert(mode)
    options: dict = {"exif": exif(orientation)}
    if profile and mode != "L":
        from PIL import ImageCms

        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "JPEG":
        options |= {"comment": b"GPSSECRET comment", "quality": 80, "progressive": seed % 2 == 1}
        options["xmp"] = b"<x:xmpmeta>GPSSECRET</x:xmpmeta>"
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "GPSSECRET")
        text.add_itxt("XML:com.adobe.xmp", "GPSSECRET")
        text.add_text("Zipped", "GPSSECRET " * 20, zip=True)
        options["pnginfo"] = text
    if kind == "WEBP":
        options |= {"xmp": b"GPSSECRET", "lossless": True}
    return encode(image, kind, **options)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    orientation=st.sampled_from([None, *range(1, 9)]),
    mode=st.sampled_from(["RGB", "L"]),
    profile=st.booleans(),
    seed=st.integers(0, 9),
    trailer=st.sampled_from([b"", b"GPSSECRET" * 3]),
)
def test_pixels_stay_and_nothing_else_is_told(
    kind: str, orientation: int | None, mode: str, profile: bool, seed: int, trailer: bytes
) -> None:
    data = picture(kind, orientation, mode, profile, seed)
    assert b"GPSSECRET" in data
    stripped = strip_metadata(data + trailer)
    assert b"GPSSECRET" not in stripped
    assert len(stripped) < len(data)
    np.testing.assert_array_equal(decode(stripped), decode(data))  # upright, as before
    assert probe(stripped) == probe(data)
    with Image.open(io.BytesIO(stripped)) as image, Image.open(io.BytesIO(data)) as before:
        image.load()
        np.testing.assert_array_equal(np.array(image), np.array(before))
        found = image.getexif()
        assert dict(found) == ({0x0112: orientation} if orientation not in (None, 1) else {})
        assert not found.get_ifd(GPS_DIRECTORY)
        assert image.info.get("icc_profile") == before.info.get("icc_profile")
        assert not {"comment", "xmp", "Comment", "XML:com.adobe.xmp"} & image.info.keys()
    assert strip_metadata(stripped) is stripped  # idempotent, and nothing is copied


def test_a_file_without_metadata_is_given_back_as_it_is() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        data = encode(smooth(20, 10), kind)
        assert strip_metadata(data) is data


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def test_every_application_segment_but_those_of_the_pixels_goes() -> None:
    data = encode(smooth(30, 30))
    others = [segment(0xE0 + number, b"SECRET" + bytes(9)) for number in range(1, 16)]
    others += [segment(0xFE, b"SECRET"), segment(0xE2, b"MPF\0SECRET"), segment(0xE0, b"JFXX\0S")]
    loaded = data[:2] + b"".join(others) + data[2:]
    assert strip_metadata(loaded) == data
    kept = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") + segment(0xE2, b"ICC_PROFILE\0\1\1profile")
    loaded = data[:2] + kept + data[2:]
    assert strip_metadata(loaded) is loaded


def test_a_cmyk_photo_keeps_the_segment_that_says_how_it_is_inverted() -> None:
    image = Image.fromarray(smooth(30, 20)).convert("CMYK")
    data = encode(image, "JPEG", exif=exif(None))
    stripped = strip_metadata(data)
    assert b"Adobe" in stripped
    np.testing.assert_array_equal(decode(stripped), decode(data))


def test_segments_between_the_scans_of_a_progressive_photo_go_too() -> None:
    data = encode(smooth(64, 64), progressive=True)
    scans = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 3
    # Before the tables of a later scan: where that scan's last marker before it begins.
    cut = data.rindex(b"\xff\xc4", 0, scans[2])
    loaded = data[:cut] + segment(0xFE, b"SECRET") + segment(0xE1, b"Exif\0\0SECRET") + data[cut:]
    assert strip_metadata(loaded) == data


def test_comments_and_xmp_of_a_gif_go_and_its_frames_and_loops_stay() -> None:
    pictures = [Image.fromarray(smooth(20, 20, seed=i)) for i in range(3)]
    data = encode(
        pictures[0], "GIF", save_all=True, append_images=pictures[1:], loop=3, comment=b"SECRET"
    )
    xmp = b"\x21\xff\x0bXMP DataXMP" + b"\x06SECRET" + b"\0"
    place = data.index(b"\x21\xff\x0bNETSCAPE2.0")
    stripped = strip_metadata(data[:place] + xmp + data[place:] + b"SECRET")
    assert b"SECRET" not in stripped
    with Image.open(io.BytesIO(stripped)) as image, Image.open(io.BytesIO(data)) as before:
        assert (image.n_frames, image.info["loop"]) == (3, 3)
        for frame in range(3):
            image.seek(frame)
            before.seek(frame)
            np.testing.assert_array_equal(np.array(image), np.array(before))


def test_a_damaged_exif_block_goes_without_a_word() -> None:
    data = encode(smooth(30, 30))
    loaded = data[:2] + segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff") + data[2:]
    assert strip_metadata(loaded) == data


def test_chunks_of_a_png_keep_their_checksums() -> None:
    data = picture("PNG", 6, "RGB", True, 1)
    stripped, position = strip_metadata(data), 8
    kinds = []
    while position < len(stripped):
        length, kind = struct.unpack_from(">I4s", stripped, position)
        content = stripped[position + 4 : position + 8 + length]
        assert zlib.crc32(content) == int.from_bytes(
            stripped[position + 8 + length : position + 12 + length]
        )
        kinds.append(kind)
        position += 12 + length
    assert kinds[:2] == [b"IHDR", b"eXIf"]
    assert kinds[-1] == b"IEND"
    assert read_header(stripped).orientation == 6


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]), data=st.data())
def test_hostile_bytes_never_raise_anything_but_a_reason(kind: str, data: st.DataObject) -> None:
    from mlimages.images.preparation import prepare
    from mlimages.images.settings import ImageSettings

    whole = bytearray(
        picture(kind, 3, "RGB", False, 1) if kind != "GIF" else encode(smooth(9, 9), kind)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    prepare(cut, ImageSettings(check="header"))
    prepare(cut, ImageSettings())


def test_real_photos_lose_their_metadata_and_no_pixel(shared_data: Path) -> None:
    shorter = 0
    for folder in ("coco128/images", "voc2012/VOCdevkit/VOC2012/JPEGImages", "tencent/images"):
        for path in sorted((shared_data / folder).iterdir())[:25]:
            data = path.read_bytes()
            stripped = strip_metadata(data)
            shorter += len(stripped) < len(data)
            np.testing.assert_array_equal(decode(stripped), decode(data))
    assert shorter


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_file_is_stripped_as_far_as_it_goes(kind: str) -> None:
    data = encode(smooth(60, 60), kind)
    cut = data[: len(data) * 2 // 3]
    if kind != "WEBP":  # its header already says that it is cut
        assert strip_metadata(cut) == cut
