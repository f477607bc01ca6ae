from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.images.pictures import encode, smooth

from mlimages.images import decoding
from mlimages.images.decoding import BadImageError, ImageInfo, decode, probe


def with_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch, **options) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "simplejpeg", None)
        return decode(data, **options)


def reason(data: bytes) -> str:
    with pytest.raises(BadImageError) as caught:
        decode(data)
    return str(caught.value.reason)


@pytest.fixture(params=["simplejpeg", "pillow"])
def either_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "simplejpeg", None)
    else:
        pytest.importorskip("simplejpeg")
    return request.param


def photos(shared_data: Path) -> list[Path]:
    folders = ("coco128/images", "voc2012/VOCdevkit/VOC2012/JPEGImages", "tencent/images")
    return [path for name in folders for path in sorted((shared_data / name).iterdir())[:15]]


@pytest.mark.parametrize("minimum_side", [None, 100])
def test_both_jpeg_decoders_agree_on_real_photos(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, minimum_side: int | None
) -> None:
    pytest.importorskip("simplejpeg")
    for path in photos(shared_data):
        data = path.read_bytes()
        fast = decode(data, minimum_side=minimum_side)
        slow = with_pillow(data, monkeypatch, minimum_side=minimum_side)
        assert fast.shape == slow.shape
        difference = np.abs(fast.astype(int) - slow.astype(int))
        assert difference.max() <= decoding.TOLERANCE, path


def test_decoding_is_pillow_s_own_conversion_to_rgb(shared_data: Path) -> None:
    for path in photos(shared_data):
        with Image.open(path) as image:
            expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
        found = decode(path.read_bytes())
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= decoding.TOLERANCE
        assert probe(path.read_bytes()) == ImageInfo("JPEG", *found.shape[1::-1])


@pytest.mark.parametrize(
    "cut", [1, 2, 3, 4, 10, 100, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999]
)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_truncated(
    cut: float, progressive: bool, either_decoder: str
) -> None:
    data = encode(smooth(320, 240), quality=95, progressive=progressive)
    left = len(data) - cut if cut >= 1 else int(len(data) * (1 - cut))
    assert reason(data[: int(left)]) == "truncated"


def test_a_real_jpeg_without_its_last_two_bytes_is_truncated(
    shared_data: Path, either_decoder: str
) -> None:
    for path in photos(shared_data)[:5]:
        assert reason(path.read_bytes()[:-2]) == "truncated"


def test_a_jpeg_cut_and_closed_again_is_truncated_with_simplejpeg() -> None:
    pytest.importorskip("simplejpeg")
    data = encode(smooth(320, 240), quality=95)
    assert reason(data[: len(data) // 2] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF"])
def test_other_formats_cut_short_are_truncated(format_name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encode(noise, format_name)
    assert reason(data[: int(len(data) * share)]) == "truncated"


def test_a_png_without_its_end_is_truncated() -> None:
    assert reason(encode(smooth(40, 30), "PNG")[:-12]) == "truncated"


def test_a_png_with_changed_pixels_is_damaged() -> None:
    data = bytearray(encode(smooth(40, 30), "PNG"))
    data[len(data) // 2] ^= 0x40
    assert reason(bytes(data)) == "damaged"


def test_stray_bytes_between_the_segments_of_a_jpeg_are_harmless() -> None:
    data = encode(smooth(64, 48))
    position = data.index(b"\xff\xdb")
    found = decode(data[:position] + b"\x00\x01\x02" + data[position:])
    np.testing.assert_array_equal(found, decode(data))


def test_an_image_above_pillow_s_limit_but_within_ours_is_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encode(smooth(40, 40), "PNG")).shape == (40, 40, 3)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF", "JPEG"])
def test_formats_are_known_by_content_and_keep_their_size(format_name: str) -> None:
    picture = smooth(50, 30)
    data = encode(picture, format_name)
    assert probe(data) == ImageInfo(format_name, 50, 30)
    found = decode(data)
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).mean() < 8


def test_greyscale_has_three_equal_channels(either_decoder: str) -> None:
    grey = smooth(40, 30)[..., 0]
    found = decode(encode(grey, "JPEG", quality=98))
    assert (found == found[..., :1]).all()
    assert np.abs(found[..., 0].astype(int) - grey).max() <= 6


def test_cmyk_becomes_rgb(either_decoder: str) -> None:
    picture = Image.fromarray(smooth(64, 48)).convert("CMYK")
    found = decode(encode(picture, "JPEG", quality=98))
    assert np.abs(found.astype(int) - np.array(picture.convert("RGB"))).mean() < 3


def test_palette_with_transparency_is_laid_over_white() -> None:
    picture = Image.new("P", (20, 10), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(0, (0, 0, 10, 10))
    found = decode(encode(picture, "PNG", transparency=0))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 15].tolist() == [0, 0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_transparency_is_laid_over_white(mode: str, format_name: str) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 3] = 255
    pixels[4:, :, 3] = 51
    options = {"lossless": True} if format_name == "WEBP" else {}
    found = decode(encode(Image.fromarray(pixels).convert(mode), format_name, **options))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert np.abs(found[7, 0].astype(int) - 204).max() <= 1  # black at one fifth over white


def test_sixteen_bit_grey_keeps_its_range() -> None:
    values = np.linspace(0, 65535, 64 * 8).reshape(8, 64).astype(np.uint16)
    found = decode(encode(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(found[..., 1], values >> 8)


def test_one_bit_png_is_black_and_white() -> None:
    found = decode(encode(Image.fromarray(np.eye(9, dtype=bool)), "PNG"))
    np.testing.assert_array_equal(found[..., 0], np.eye(9) * 255)


def test_the_first_frame_of_a_gif_is_taken() -> None:
    frames = [Image.new("RGB", (12, 9), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_as_pillow_does(
    orientation: int, format_name: str, either_decoder: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(smooth(48, 32), format_name, exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    found = decode(data)
    assert found.flags.c_contiguous
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= decoding.TOLERANCE
    assert probe(data) == ImageInfo(format_name, *expected.shape[1::-1])


@pytest.mark.parametrize(
    ("width", "height", "minimum_side", "expected"),
    [
        (640, 480, 480, (480, 640)),
        (640, 480, 240, (240, 320)),
        (641, 481, 240, (241, 321)),
        (640, 480, 200, (240, 320)),
        (640, 480, 120, (120, 160)),
        (640, 480, 10, (60, 80)),
        (64, 64, 73, (64, 64)),
    ],
)
def test_minimum_side_lets_jpeg_shrink_by_a_power_of_two(
    width: int, height: int, minimum_side: int, expected: tuple[int, int], either_decoder: str
) -> None:
    picture = smooth(width, height)
    found = decode(encode(picture, quality=95), minimum_side=minimum_side)
    assert found.shape[:2] == expected
    size = (expected[1], expected[0])
    reduced = Image.fromarray(picture).resize(size, Image.Resampling.BOX)
    assert np.abs(found.astype(int) - np.array(reduced)).mean() < 4


def test_images_work_without_the_optional_packages() -> None:
    code = (
        "import sys\n"
        "for name in ('cv2', 'simplejpeg', 'torch'): sys.modules[name] = None\n"
        "import mlimages.images.packing, mlimages.images.shards\n"
        "from mlimages.images.augmentation import AugmentationSettings, draw\n"
        "from mlimages.images.random_numbers import sample_generator\n"
        "from mlimages.images.views import train_image\n"
        "from mlimages.images.decoding import decode\n"
        "from mlimages.errors import MissingExtraError\n"
        "picture = decode(sys.stdin.buffer.read())\n"
        "parameters = draw(AugmentationSettings(), sample_generator(0, 0, 0))\n"
        "try: train_image(picture, 8, parameters)\n"
        'except MissingExtraError as error: sys.exit("mlimages[train]" not in str(error))\n'
        "sys.exit(2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=encode(smooth(32, 24)), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
