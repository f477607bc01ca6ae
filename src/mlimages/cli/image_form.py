"""What `pack` and `fetch` have in common: in which form images are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class ImageForm:
    """The form of images in shards; what is left out is as before, or the default."""

    check: Literal["decode", "header"] | None = None
    """"header" looks only at format and size; by default every image is decoded."""
    resize: Literal["no", "shorter", "longer", "border", "centre-crop"] | None = None
    """Scale the shorter or the longer side to `--side`; "border" fills the longer one up to a white
    square, "centre-crop" cuts the middle square out. By default "no"."""
    side: int | None = None
    """Pixels, with `--resize`."""
    only_if_bigger: Flag = False
    """Leave images alone that are smaller than `--side`."""
    interpolation: Literal["area", "lanczos", "bicubic", "bilinear", "nearest"] | None = None
    """How to scale; by default "area"."""
    format: Literal["keep", "jpeg", "png", "webp"] | None = None
    """Of the result; by default that of the original, whose bytes are kept."""
    quality: int | None = None
    """Of images that are encoded again, 1 to 100; by default 95."""
    keep_metadata: Flag = False
    """Keep EXIF with its GPS position, XMP and comments; else they are dropped."""
    shard_megabytes: int | None = None
    """Size of one shard in millions of bytes; by default 512."""

    def images(self) -> dict[str, Any]:
        """What was said of images, as `images.packing.settings.altered` takes it; None: nothing."""
        return {
            "check": self.check,
            "resize": self.resize,
            "side": self.side,
            "only_if_bigger": self.only_if_bigger or None,
            "interpolation": self.interpolation,
            "format": self.format,
            "quality": self.quality,
            "strip_metadata": False if self.keep_metadata else None,
        }

    @property
    def shard_bytes(self) -> int | None:
        """Size of one shard, where it was said."""
        return None if self.shard_megabytes is None else self.shard_megabytes * 1_000_000


AS_BEFORE = ImageForm()
