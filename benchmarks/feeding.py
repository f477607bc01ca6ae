"""Images a second and core that reach a network, decoded and augmented, beside other loaders.

Photos of 500 x 375 and of 341 x 256 pixels become batches of 224 x 224 under the paper's
augmentation: once as each peer documents it, and once with this project's transform handed to the
peer. Every side runs in one process on the same core; sides take turns. Ratios are of processor
seconds, which other work on the machine disturbs less than the clock; that is told as well. The
bare decoder has the settings that ours decodes with. All sides do the same augmentation, but
"tensorflow_unturned", which leaves out the rotation that tf.image lacks and counts in no ratio.

    python benchmarks/feeding.py [--photos DIR] [--tensorflow PYTHON] [--quick] [--json]

`--photos` takes real photos instead of cut-outs of scikit-learn's two; `--tensorflow`, or the
variable MLIMAGES_TENSORFLOW, is the Python of an environment that has TensorFlow (its package does
not share one with everything else).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Outcome, main, medians
from peers import feeding as peers
from PIL import Image

from mlimages.images.augmentation import AugmentationParameters
from mlimages.images.colour import ColourParameters, distort_colour
from mlimages.images.packing.writer import shard_name
from mlimages.images.views import train_image

SIZES = {"500x375": (500, 375), "341x256": (341, 256)}
SHARDS = 4
DOCUMENTED = ("torchvision", "webdataset", "datasets", "tensorflow")
BATCH_SHAPE = (peers.BATCH, peers.SIZE, peers.SIZE, 3)
OPTIONS = argparse.Namespace(photos=None, tensorflow=None)


def originals(folder: Path | None) -> list[Image.Image]:
    """Real photos of a folder, or the two that scikit-learn carries."""
    if folder is not None:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
        return [Image.open(path).convert("RGB") for path in paths[:500]]
    from sklearn.datasets import load_sample_images

    return [Image.fromarray(array) for array in load_sample_images().images]


def cut_out(picture: Image.Image, size: tuple[int, int], rng: random.Random) -> bytes:
    """A JPEG of a random part of a photo, or all of one that is hardly larger."""
    share = rng.uniform(0.8, 1.0)
    scale = share * min(picture.width / size[0], picture.height / size[1])
    width, height = round(size[0] * scale), round(size[1] * scale)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    part = picture.resize(size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    part.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_photos(folder: Path, size: tuple[int, int], count: int) -> float:
    """Write photos as files and as shards; returns their mean size in bytes."""
    pictures, rng = originals(OPTIONS.photos), random.Random(1)
    files = [cut_out(pictures[i % len(pictures)], size, rng) for i in range(count)]
    (folder / "photos" / "all").mkdir(parents=True)
    (folder / "shards").mkdir()
    records = []
    for shard in range(SHARDS):
        with tarfile.open(folder / "shards" / shard_name(shard), "w") as archive:
            for row in range(shard * count // SHARDS, (shard + 1) * count // SHARDS):
                data = files[row]
                (folder / "photos" / "all" / f"{row:06d}.jpg").write_bytes(data)
                member = tarfile.TarInfo(f"{row:06d}.jpg")
                member.size = len(data)
                records.append((row, shard, archive.offset + 512, len(data), zlib.crc32(data)))
                archive.addfile(member, io.BytesIO(data))
    names = ("row", "shard", "offset", "length", "crc32")
    types = (np.int32, np.int32, np.int64, np.int32, np.uint32)
    columns = {
        name: np.array(column, dtype=kind)
        for name, kind, column in zip(names, types, zip(*records, strict=True), strict=True)
    }
    pq.write_table(pa.table(columns), folder / "shards" / "index.parquet")
    return sum(map(len, files)) / count


class Side:
    """A loader in its process, which does one pass whenever it is told to."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> dict[str, Any]:
        """The next line of JSON."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"error: {self.process.args} failed")

    def go(self, folder: Path, count: int) -> dict[str, Any]:
        """One pass over a folder, which must give `count` images of the asked size."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        answer = self.answer()
        shape = sorted(answer.get("shape") or BATCH_SHAPE)
        if answer["images"] != count or shape != sorted(BATCH_SHAPE):
            raise SystemExit(f"error: {self.process.args} gave {answer}, not {count} images")
        return answer


def measure(quick: bool, folder: Path) -> Outcome:
    """All sides at both sizes."""
    outcome = Outcome()
    count, repetitions = (128, 2) if quick else (512, 5)
    sides = _start()
    worst: dict[str, list[float]] = {}
    for name, size in SIZES.items():
        outcome.figures[f"{name} bytes a photo"] = write_photos(folder / name, size, count)
        seconds = _take_turns(sides, folder / name, count, repetitions, outcome)
        ours = seconds["ours"]
        documented = {s: t for s, t in seconds.items() if s in DOCUMENTED}
        handed = {s: t for s, t in seconds.items() if s.endswith("_our_transform")}
        ratios = {
            "feeding_vs_best_peer": min(documented.values()) / ours,
            "feeding_vs_best_peer_same_transform": min(handed.values()) / ours,
            "feeding_vs_bare_decode": seconds["bare"] / ours,
        }
        for ratio, value in ratios.items():
            outcome.ratios[f"{ratio} {name}"] = value
            worst.setdefault(ratio, []).append(value)
    for side in sides.values():
        side.process.communicate()
    outcome.ratios |= {ratio: min(values) for ratio, values in worst.items()}
    outcome.seconds |= _start_and_resume(folder / "500x375")
    outcome.figures |= pixel_differences()
    return outcome


def _start() -> dict[str, Side]:
    """All sides, once they have imported what they need to."""
    commands = {side: [sys.executable, peers.__file__, side] for side in peers.SIDES}
    if OPTIONS.tensorflow:
        script = Path(peers.__file__).with_name("feeding_tensorflow.py")
        for side in ("tensorflow", "tensorflow_unturned"):
            commands[side] = [OPTIONS.tensorflow, str(script), side]
    sides = {name: Side(command) for name, command in commands.items()}
    for side in sides.values():
        side.answer()
    return sides


def _take_turns(
    sides: dict[str, Side], folder: Path, count: int, repetitions: int, outcome: Outcome
) -> dict[str, float]:
    """Processor seconds an image of each side, the median of its passes."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    clock: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(repetitions + 1):
        for name, side in sides.items():
            answer = side.go(folder, count)
            if repetition:  # the first pass warms up
                times[name].append(answer["processor"] / count)
                clock[name].append(answer["seconds"] / count)
            else:
                outcome.seconds[f"{folder.name} first batch: {name}"] = answer["first"]
    outcome.raw |= {f"{folder.name} {name}": values for name, values in times.items()}
    outcome.raw |= {f"{folder.name} by the clock: {name}": t for name, t in clock.items()}
    outcome.seconds |= {
        f"{folder.name} an image by the clock: {name}": t for name, t in medians(clock).items()
    }
    found = medians(times)
    outcome.figures |= {f"{folder.name} images/s/core: {name}": 1 / t for name, t in found.items()}
    return found


def _start_and_resume(folder: Path) -> dict[str, float]:
    """Seconds until our first batch, from nothing and from the middle of an epoch."""
    from mlimages.training.dataset import LaneSampler

    found = {}
    for name, share in (("first batch", 0.0), ("resume mid-epoch", 0.5)):
        start = time.perf_counter()
        dataset = peers.our_dataset(folder)
        seen = int(len(dataset) * share)
        keys = next(iter(LaneSampler(dataset.order(), peers.BATCH, seen)))
        dataset.__getitems__(keys)
        found[f"ours, {name}"] = time.perf_counter() - start
    return found


def pixel_differences() -> dict[str, float]:
    """Mean and greatest difference from torchvision v2 on the same parameters, of 0 to 255.

    Ours is bilinear between four pixels, as the paper's code, and hue turns in HSV in floating
    point, clipped once at the end; torchvision averages when it shrinks and clips at each step.
    """
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    picture = np.array(originals(OPTIONS.photos)[0].resize((500, 375)))
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    whole = AugmentationParameters((1.0, 1.0), (0.1, 10.0), (0.5, 0.5, 0.5, 0.5))
    size = [224, 224]
    bilinear = InterpolationMode.BILINEAR
    view = train_image(picture, 224, whole)
    turned = train_image(
        picture, 224, AugmentationParameters((1.0, 1.0), (0.1, 10.0), whole.crop, angle=20.0)
    )
    plain = functional.resize(tensor, size, bilinear, antialias=False)
    smooth = functional.resize(tensor, size, bilinear, antialias=True)
    base = torch.from_numpy(view).permute(2, 0, 1)
    hue = functional.adjust_hue(functional.adjust_saturation(base, 1.0), 0.1)
    pairs = {
        "resize, without antialias": (view, plain),
        "resize, with antialias": (view, smooth),
        "rotation by 20 degrees": (turned, functional.rotate(plain, 20.0, bilinear)),
        "hue by 0.1": (distort_colour(view, ColourParameters(0, 1, 0.1, 1, True)), hue),
        "brightness and contrast": (
            distort_colour(view, ColourParameters(0, 1, 0, 1.2, True)),
            functional.adjust_contrast(base, 1.2),
        ),
    }
    found = {}
    for name, (ours, theirs) in pairs.items():
        difference = np.abs(ours.astype(int) - theirs.permute(1, 2, 0).numpy())
        found[f"pixels, {name}: mean"] = float(difference.mean())
        found[f"pixels, {name}: max"] = float(difference.max())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--tensorflow", default=os.environ.get("MLIMAGES_TENSORFLOW"))
    OPTIONS, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    packages = ["numpy", "torch", "torchvision", "webdataset", "datasets", "simplejpeg", "numba"]
    main(__doc__.splitlines()[0], measure, packages, writes=True)
