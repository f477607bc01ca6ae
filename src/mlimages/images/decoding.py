"""Bytes to RGB pixels: limits first, then a full decode that never hides a damaged file.

JPEG goes through simplejpeg where it is installed (several times as fast) and through Pillow
otherwise; both wrap libjpeg-turbo and agree within TOLERANCE. All other formats go through Pillow.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mlimages.images.headers import Header, check_png, read_header
from mlimages.images.rejection import BadImageError, Reason

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

MAXIMUM_BYTES = 128 * 1024 * 1024
MAXIMUM_PIXELS = 100_000_000
# Greatest difference of a channel, in 0 to 255, between the two JPEG decoders. Current releases
# agree bit for bit; the libjpeg-turbo that each carries may round differently.
TOLERANCE = 2

__all__ = [
    "MAXIMUM_BYTES",
    "MAXIMUM_PIXELS",
    "TOLERANCE",
    "BadImageError",
    "ImageInfo",
    "decode",
    "decode_luminance",
    "probe",
]


@dataclass(frozen=True)
class ImageInfo:
    """An image as `decode` returns it: upright.

    Attributes:
        format: "JPEG", "PNG", "WEBP" or "GIF".
        width: pixels.
        height: pixels.
    """

    format: str
    width: int
    height: int


def probe(data: bytes) -> ImageInfo:
    """Read format and size from the header, and hold them against the limits; decodes nothing.

    Raises:
        BadImageError: "empty", "not an image", "unsupported format", "too many bytes",
            "too many pixels", "truncated" or "damaged".
    """
    header = _checked_header(data)
    return ImageInfo(header.format, *_upright_size(header))


def decode(
    data: bytes,
    *,
    minimum_side: int | None = None,
    reduction: Callable[[int, int], int] | None = None,
) -> np.ndarray:
    """Decode a JPEG, PNG, WebP or GIF (its first frame) to upright RGB.

    Greyscale, palette, CMYK and 16-bit pixels are converted, transparency is laid over white, and
    the EXIF orientation is applied. Colour profiles are ignored.

    Args:
        data: the file's bytes.
        minimum_side: allows a JPEG to be decoded at 1/2, 1/4 or 1/8 of its size as long as the
            shorter side keeps this many pixels; far faster for large photos.
        reduction: likewise, for what depends on more than the shorter side: given the upright width
            and height, the greatest factor by which a JPEG may shrink.

    Returns:
        uint8 [height, width, 3], contiguous.

    Raises:
        BadImageError: as `probe`, and "truncated" or "damaged" when pixels are missing or wrong.
    """
    header = _checked_header(data)
    if header.format == "JPEG":
        if minimum_side is None and reduction is not None:
            factor = _factor(reduction(*_upright_size(header)))
        else:
            factor = _reduction(header, minimum_side)
        pixels = _decode_jpeg(data, header, factor)
    else:
        if header.format == "PNG":
            check_png(data)
        pixels = _decode_with_pillow(data, header)
    return _upright(pixels, header.orientation)


def decode_luminance(data: bytes, *, minimum_side: int | None = None) -> np.ndarray:
    """Decode to upright greyscale: of a JPEG the luminance alone, which is much less work.

    Args:
        data: the file's bytes.
        minimum_side: see `decode`.

    Returns:
        uint8 [height, width].

    Raises:
        BadImageError: see `decode`.
    """
    header = _checked_header(data)
    if header.format != "JPEG" or simplejpeg is None or header.channels not in (1, 3):
        return _luminance(decode(data, minimum_side=minimum_side))
    reduction = _reduction(header, minimum_side)
    try:
        pixels = _simplejpeg(data, header, reduction, "GRAY")[:, :, 0]
    except ValueError:
        return _luminance(decode(data, minimum_side=minimum_side))
    return _upright(pixels, header.orientation)


def _luminance(pixels: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(pixels).convert("L"))  # ITU-R BT.601, as in a JPEG


def _checked_header(data: bytes) -> Header:
    if len(data) > MAXIMUM_BYTES:
        raise BadImageError(Reason.TOO_MANY_BYTES)
    header = read_header(data)
    if header.width * header.height > MAXIMUM_PIXELS:
        raise BadImageError(Reason.TOO_MANY_PIXELS)
    return header


def _reduction(header: Header, minimum_side: int | None) -> int:
    """Largest factor that leaves the shorter side `minimum_side` pixels."""
    return 1 if minimum_side is None else _factor(min(header.width, header.height) // minimum_side)


def _factor(most: int) -> int:
    """Largest factor up to `most` by which a JPEG's decoder can shrink."""
    return next((factor for factor in (8, 4, 2) if factor <= most), 1)


def _upright_size(header: Header) -> tuple[int, int]:
    size = (header.width, header.height)
    return size if header.orientation < 5 else size[::-1]


def _decode_jpeg(data: bytes, header: Header, reduction: int) -> np.ndarray:
    # TurboJPEG does not convert CMYK to RGB.
    if simplejpeg is None or header.channels not in (1, 3):
        return _decode_with_pillow(data, header, reduction)
    try:
        return _simplejpeg(data, header, reduction, "RGB")
    except ValueError as error:
        # libjpeg's two warnings for missing pixels, which it fills with grey.
        if "premature end" in str(error).lower():
            raise BadImageError(Reason.TRUNCATED) from None
        # Anything else that the strict decoder dislikes may be harmless, such as stray bytes
        # between segments; Pillow's more lenient one decides.
        return _decode_with_pillow(data, header, reduction)


def _simplejpeg(data: bytes, header: Header, reduction: int, colours: str) -> np.ndarray:
    return simplejpeg.decode_jpeg(
        data,
        colorspace=colours,
        fastdct=False,
        fastupsample=False,
        min_height=-(-header.height // reduction),
        min_width=-(-header.width // reduction),
    )


def _decode_with_pillow(data: bytes, header: Header, reduction: int = 1) -> np.ndarray:
    try:
        with (
            _without_size_warning(header),
            Image.open(io.BytesIO(data), formats=[header.format]) as image,
        ):
            if (image.width, image.height) != (header.width, header.height):
                raise BadImageError(Reason.DAMAGED)  # the limits were held against another size
            if reduction > 1:
                image.draft(None, (header.width // reduction, header.height // reduction))
            image.load()
            return _to_rgb(image)
    except BadImageError:
        raise
    except Image.DecompressionBombError:
        raise BadImageError(Reason.TOO_MANY_PIXELS) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a decoder's plug-ins raise anything on bad bytes
        text = str(error).lower()
        cut = isinstance(error, EOFError) or "truncated" in text or "end of" in text
        raise BadImageError(Reason.TRUNCATED if cut else Reason.DAMAGED) from None


def _without_size_warning(header: Header) -> AbstractContextManager[None]:
    """Pillow warns at fewer pixels than our own limit, which was checked already."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or header.width * header.height <= limit:
        return nullcontext()
    return _ignored_size_warning()


@contextmanager
def _ignored_size_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, transparent)
    return np.array(image.convert("RGB"))


def _from_16_bits(image: Image.Image) -> np.ndarray:
    # Pillow's own conversion clips at 255. The high byte is what it takes of 16-bit colours.
    values = np.array(image)
    grey = (np.clip(values, 0, 65535) >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation == 1:
        return pixels
    if orientation >= 5:  # 5 to 8 are 1, 4, 3 and 2 with rows and columns exchanged
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
