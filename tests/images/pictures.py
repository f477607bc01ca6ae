"""Small generated pictures in many encodings, for the tests of this folder."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def smooth(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth colourful picture, RGB uint8 [height, width, 3]: codecs change it little."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)


def encode(image: np.ndarray | Image.Image, format_name: str = "JPEG", **options) -> bytes:
    """Encode with Pillow."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()
