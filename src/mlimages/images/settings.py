"""What is asked of an image before it is packed, and in which form it is kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from mlimages.errors import InputError, nearest
from mlimages.images.decoding import MAXIMUM_BYTES, MAXIMUM_PIXELS

Check = Literal["header", "decode"]
Resize = Literal["no", "shorter", "longer", "border", "centre-crop"]
Interpolation = Literal["area", "lanczos", "bicubic", "bilinear", "nearest"]
Format = Literal["keep", "jpeg", "png", "webp"]

# Beyond this a side is a mistake: it alone would exceed the pixels that are allowed.
_MAXIMUM_SIDE = 16_384


@dataclass(frozen=True)
class ImageSettings:
    """How images are checked and kept; the defaults keep the original pixels and drop metadata.

    Bytes are re-encoded only where the pixels change or another format is asked for.

    Attributes:
        check: "decode" reads every image to its last bit; "header" only its size and format.
        resize: "no"; "shorter" or "longer" scales that side to `side`; "border" scales the longer
            one and fills up to a white square; "centre-crop" scales the shorter one and cuts out
            the middle square.
        side: of the result, in pixels; 0 without `resize`.
        only_if_bigger: leave images alone of which that side is not above `side`.
        interpolation: "area" averages when shrinking; it enlarges as "bicubic" does.
        format: of the result; "keep" is that of the original (of a resized GIF: PNG).
        quality: of re-encoded JPEG and WebP, 1 to 100.
        strip_metadata: drop EXIF, GPS, XMP, IPTC and comments without touching the pixels; the
            orientation stays.
        maximum_bytes: of the original.
        maximum_pixels: of the original, by its header, before anything is decoded.
        maximum_frames: of an animation, of which the first frame counts.
        maximum_aspect: longer side over the shorter one.
        minimum_side: least pixels of the shorter side of the original.
    """

    check: Check = "decode"
    resize: Resize = "no"
    side: int = 0
    only_if_bigger: bool = False
    interpolation: Interpolation = "area"
    format: Format = "keep"
    quality: int = 95
    strip_metadata: bool = True
    maximum_bytes: int = MAXIMUM_BYTES
    maximum_pixels: int = MAXIMUM_PIXELS
    maximum_frames: int = 1000
    maximum_aspect: float = 50.0
    minimum_side: int = 1

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            choices = get_args(kind)
            if choices and getattr(self, name) not in choices:
                raise InputError(
                    name, f"{getattr(self, name)!r} is none of {', '.join(choices)}", "choose one"
                )
        if (self.resize == "no") != (self.side == 0):
            cause = "is given without a way to resize, or the other way round"
            raise InputError("side", cause, "give both, or neither")
        for name, least, most in (
            ("side", 0, _MAXIMUM_SIDE),
            ("quality", 1, 100),
            ("maximum_bytes", 1, MAXIMUM_BYTES),
            ("maximum_pixels", 1, MAXIMUM_PIXELS),
            ("maximum_frames", 1, 1 << 31),
            ("maximum_aspect", 1, float("inf")),
            ("minimum_side", 1, _MAXIMUM_SIDE),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(
                    name.replace("_", " "), f"{value} is out of range", f"use {least} to {most}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageSettings:
        """The inverse of `to_dict`; raises InputError for a key that is none."""
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values.keys() - known:
            raise InputError(key, "no such setting of images", nearest(key, known))
        return cls(**values)
