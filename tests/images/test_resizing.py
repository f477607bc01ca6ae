from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.images.pictures import encode, smooth

from mlimages.images import resizing
from mlimages.images.decoding import decode
from mlimages.images.preparation import prepare
from mlimages.images.resizing import geometry, resize
from mlimages.images.settings import ImageSettings

MODES = ("shorter", "longer", "border", "centre-crop")
FILTERS = {
    "area": None,
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


def covered(length: int, size: int) -> np.ndarray:
    """float64 [size, length]: how much of each pixel each output pixel covers, one row its mean."""
    edges = np.arange(size + 1) * length / size
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return overlap.clip(0) * size / length


def scale(image: Image.Image, size: tuple[int, int], method: Image.Resampling | None) -> np.ndarray:
    if method is not None:
        return np.array(image.resize(size, method))
    rows, columns = covered(image.height, size[1]), covered(image.width, size[0])
    return np.rint(np.einsum("ya,xb,abc->yxc", rows, columns, np.array(image))).astype(np.uint8)


def reference(
    image: Image.Image, mode: str, side: int, method: Image.Resampling | None
) -> np.ndarray:
    """The same by Pillow, or for "area" by the definition: scale, then crop or pad."""
    reference_side = max(image.size) if mode in ("longer", "border") else min(image.size)
    width, height = (max(1, int(length * side / reference_side + 0.5)) for length in image.size)
    scaled = scale(image, (width, height), method)
    left, top = abs(width - side) // 2, abs(height - side) // 2
    if mode == "border":
        canvas = Image.new("RGB", (side, side), "white")
        canvas.paste(Image.fromarray(scaled), (left, top))
        return np.array(canvas)
    if mode == "centre-crop":
        return scaled[top : top + side, left : left + side]
    return scaled


def prepared(picture: np.ndarray, settings: ImageSettings) -> np.ndarray:
    result = prepare(encode(picture, "PNG"), settings)
    assert result.reason is None
    pixels = decode(result.data)
    assert (result.width, result.height) == pixels.shape[1::-1]
    return pixels


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 91), (64, 64), (200, 20)])
def test_each_mode_is_what_pillow_does(
    mode: str, interpolation: str, width: int, height: int
) -> None:
    picture = smooth(width, height)
    for side in (33, 20, 12):
        settings = ImageSettings(
            resize=mode, side=side, interpolation=interpolation, maximum_aspect=20
        )
        ours = prepared(picture, settings)
        theirs = reference(Image.fromarray(picture), mode, side, FILTERS[interpolation])
        assert ours.shape == theirs.shape
        if min(width, height) < side:  # enlarging by area is bicubic
            continue
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= (1 if interpolation == "area" else 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_twin_without_opencv_differs_by_rounding(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = smooth(123, 77)
    settings = ImageSettings(resize=mode, side=31)
    fast = prepared(picture, settings)
    monkeypatch.setattr(resizing, "cv2", None)
    slow = prepared(picture, settings)
    assert np.abs(fast.astype(int) - slow).max() <= 1


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    side=st.integers(1, 600),
    mode=st.sampled_from(MODES),
    bigger=st.booleans(),
)
def test_sizes_are_as_promised(width: int, height: int, side: int, mode: str, bigger: bool) -> None:
    settings = ImageSettings(resize=mode, side=side, only_if_bigger=bigger)
    shape = geometry(width, height, settings)
    decisive = max(width, height) if mode in ("longer", "border") else min(width, height)
    if bigger and decisive <= side:
        assert shape is None
        return
    scaled, result = (shape.scaled, shape.result) if shape else ((width, height),) * 2
    if mode in ("border", "centre-crop"):
        assert result == (side, side)
    else:
        assert result == scaled
    assert (max(scaled) if mode in ("longer", "border") else min(scaled)) == side
    # The aspect is kept as well as whole pixels allow.
    assert abs(scaled[0] - width * side / decisive) <= 1
    assert abs(scaled[1] - height * side / decisive) <= 1


def test_an_image_of_the_right_size_and_format_keeps_its_bytes() -> None:
    data = encode(smooth(40, 30), quality=91)
    for settings in (
        ImageSettings(resize="shorter", side=30),
        ImageSettings(resize="longer", side=40),
        ImageSettings(resize="border", side=50, only_if_bigger=True),
        ImageSettings(resize="centre-crop", side=30, only_if_bigger=True),
        ImageSettings(format="jpeg", quality=10),
    ):
        assert prepare(data, settings).data is data


@pytest.mark.parametrize("target", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF"])
def test_another_format_keeps_the_picture(source: str, target: str) -> None:
    options = {"lossless": True} if source == "WEBP" else {}
    data = encode(smooth(40, 30), source, **options)
    result = prepare(data, ImageSettings(format=target))
    with Image.open(io.BytesIO(result.data)) as image:
        assert (image.format, image.size) == (target.upper(), (40, 30))
    assert result.format == target.upper()
    difference = np.abs(decode(result.data).astype(int) - decode(data))
    assert difference.mean() < (8 if source == "GIF" else 4)  # its few colours are dithered


def test_a_resized_photo_stands_upright_and_says_nothing_of_how_it_lay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(smooth(80, 40), exif=exif.tobytes(), quality=95)
    result = prepare(data, ImageSettings(resize="shorter", side=20))
    assert (result.width, result.height) == (20, 40)
    with Image.open(io.BytesIO(result.data)) as image:
        assert image.size == (20, 40)
        assert not image.getexif()


def test_a_transparent_picture_is_laid_over_white_when_it_is_encoded_again() -> None:
    clear = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    result = prepare(encode(clear, "PNG"), ImageSettings(resize="longer", side=10))
    assert (decode(result.data) == 255).all()


def test_scaling_inside_the_jpeg_decoder_is_close_to_scaling_all_pixels() -> None:
    """A large photo is decoded at a half, a quarter or an eighth; the result hardly changes."""
    data = encode(smooth(1600, 1200, seed=3), quality=95)
    settings = ImageSettings(resize="shorter", side=150, format="png")
    fast = decode(prepare(data, settings).data)
    shape = geometry(1600, 1200, settings)
    assert shape is not None
    full = resize(decode(data), shape, "area")
    assert fast.shape == full.shape == (150, 200, 3)
    difference = np.abs(fast.astype(int) - full)
    assert difference.mean() < 1
    assert difference.max() <= 8


def test_quality_decides_the_size_of_the_result() -> None:
    noise = np.random.default_rng(0).integers(0, 64, (300, 300, 1), np.uint8)
    data = encode(smooth(300, 300) ^ noise, "PNG")
    for target in ("jpeg", "webp"):
        sizes = [
            len(prepare(data, ImageSettings(format=target, quality=quality)).data)
            for quality in (10, 60, 95)
        ]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2
