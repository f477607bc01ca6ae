"""Copies of real photos found again: recall by what was done to them, precision, and speed.

Each photo of Caltech-101, the ImageNet sample and VOC is copied with one change; each kind of copy
is searched among all photos. The peer is ImageHash (https://github.com/JohannesBuchner/imagehash):
`phash` of pictures opened with Pillow, compared by brute force at the same radius, as its
documentation does.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
from harness import Outcome, main
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from mlimages.images.decoding import decode
from mlimages.images.duplicates.fingerprints import Fingerprint, fingerprint
from mlimages.images.duplicates.perceptual import Closeness, Confirmed, confirm, find_candidates
from mlimages.images.duplicates.search import Hashes

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("caltech101", "imagenet-sample", "voc2012/VOCdevkit/VOC2012/JPEGImages")
EVERY = {False: 1, True: 12}  # photos taken
RADIUS = 10
CROPS = (0.02, 0.05, 0.10)


def find_photos() -> list[Path]:
    """The real photos; ends the program with a line where there are none."""
    named = os.environ.get("MLIMAGES_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    found = [
        path
        for name in FOLDERS
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in (".jpg", ".jpeg")
    ]
    if not found:
        sys.exit(f"error: {folder}: no photos; set MLIMAGES_DATA to the folder of real data")
    return found


def _resized(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float, generator: np.random.Generator) -> Image.Image:
    """Without a share of its width and of its height, somewhere."""
    width, height = int(image.width * share), int(image.height * share)
    left, top = int(generator.integers(0, width + 1)), int(generator.integers(0, height + 1))
    return image.crop((left, top, left + image.width - width, top + image.height - height))


def _marked(image: Image.Image) -> Image.Image:
    image = image.copy()
    place, size = (image.width * 0.1, image.height * 0.8), max(8, image.height // 10)
    ImageDraw.Draw(image, "RGBA").text(
        place, "photo agency", fill=(255, 255, 255, 190), font_size=size
    )
    return image


def changes(generator: np.random.Generator) -> dict[str, Callable[[Image.Image], Image.Image]]:
    """What is done to a photo before it is saved again, by name."""
    cut = {
        f"crop {share:.0%}": lambda image, share=share: _cropped(image, share, generator)
        for share in CROPS
    }
    return {
        "resize 50 %": lambda image: _resized(image, 0.5),
        "resize 150 %": lambda image: _resized(image, 1.5),
        **cut,
        "brighter 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        "contrast 70 %": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
        "greyscale": lambda image: image.convert("L").convert("RGB"),
        "border 3 %": lambda image: ImageOps.expand(
            image, max(1, round(0.03 * min(image.size))), "white"
        ),
        "watermark": _marked,
        "mirrored": ImageOps.mirror,
    }


def _saved(image: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copies(files: list[bytes]) -> dict[str, Callable[[], list[bytes]]]:
    """Copies of all photos by kind of change, made when they are asked for."""
    images = [Image.fromarray(decode(data)) for data in files]
    generator = np.random.default_rng(0)
    made: dict[str, Callable[[], list[bytes]]] = {
        f"quality {quality}": lambda quality=quality: [_saved(i, quality) for i in images]
        for quality in (30, 60, 90)
    }
    for name, change in changes(generator).items():
        made[name] = lambda change=change: [_saved(change(image)) for image in images]
    return made


def measure(quick: bool) -> Outcome:
    """Hash the photos with both, then search for each kind of copy."""
    outcome = Outcome()
    files = [path.read_bytes() for path in find_photos()[:: EVERY[quick]]]
    ours, theirs = _time_hashing(outcome, files)
    own = _search(files, ours, files, ours, ("mirrored",))
    alike = {pair for pair in own if pair[0] != pair[1]}
    outcome.ratios["photos"] = len(files)
    outcome.ratios["pairs of photos alike"] = len(alike) / 2
    right = wrong = near = peer_right = peer_wrong = 0
    for name, make in copies(files).items():
        made = make()
        positions = ("mirrored",) if name == "mirrored" else ()
        pairs = _search(made, _hashes(made), files, ours, positions)
        hit = {pair for pair in pairs if pair[0] == pair[1]}
        outcome.ratios[f"recall, {name}"] = len(hit) / len(files)
        right += len(hit)
        near += len(pairs & alike)
        wrong += len(pairs - hit - alike)
        differ = np.bitwise_count(_phashes(made)[:, None] ^ theirs[None]) <= RADIUS
        outcome.ratios[f"recall of imagehash, {name}"] = float(np.diag(differ).mean())
        peer_right += int(np.diag(differ).sum())
        np.fill_diagonal(differ, False)
        peer_wrong += int(differ.sum()) - sum(bool(differ[pair]) for pair in alike)
    outcome.ratios["copies of photos alike, found"] = near
    outcome.ratios["precision"] = right / max(1, right + wrong)
    outcome.ratios["precision of imagehash"] = peer_right / max(1, peer_right + peer_wrong)
    return outcome


def _time_hashing(outcome: Outcome, files: list[bytes]) -> tuple[Hashes, np.ndarray]:
    """The hashes of both, and how long each took in turns with bare decoding; one thread each."""
    results: dict[str, object] = {}
    sides = {
        "hash": lambda: _hashes(files),
        "imagehash": lambda: _phashes(files),
        "decode": lambda: _decode(files),
    }
    for name, side in sides.items():
        start = time.perf_counter()
        results[name] = side()
        outcome.seconds[name] = time.perf_counter() - start
        outcome.raw[name] = [outcome.seconds[name]]
    outcome.ratios["hashing_vs_imagehash"] = outcome.seconds["imagehash"] / outcome.seconds["hash"]
    outcome.ratios["hashing_vs_decoding"] = outcome.seconds["decode"] / outcome.seconds["hash"]
    return results["hash"], results["imagehash"]  # type: ignore[return-value]


def _decode(files: list[bytes]) -> None:
    for data in files:
        decode(data)


def _hashes(files: list[bytes]) -> Hashes:
    found: list[Fingerprint] = [fingerprint(data) for data in files]
    values = np.array([one[:2] for one in found], np.uint64)
    return Hashes(np.ascontiguousarray(values[:, 0]), np.ascontiguousarray(values[:, 1]))


def _phashes(files: list[bytes]) -> np.ndarray:
    found = (imagehash.phash(Image.open(io.BytesIO(data))) for data in files)
    return np.array([int(str(one), 16) for one in found], np.uint64)


def _search(
    files: list[bytes], hashes: Hashes, others: list[bytes], theirs: Hashes, positions: tuple
) -> set[tuple[int, int]]:
    """(place, place of the other) of every pair that is the same photo."""
    closeness = Closeness(RADIUS, positions)
    candidates = find_candidates(hashes, closeness, closeness.limits(0), theirs)
    found: Confirmed = confirm(
        candidates, lambda place: files[place], lambda place: others[place], closeness
    )
    return set(zip(*found.pairs.tolist(), strict=True))


if __name__ == "__main__":
    title = "copies of real photos found again, with what was done to them"
    main(title, measure, ("numpy", "pillow", "simplejpeg", "imagehash"))
