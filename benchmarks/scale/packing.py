"""One million 2-kB photos: packed from pieces of a file, verified, and read back at random.

The photos are 64 x 64 pixels, 512 different ones over and over, each at an address of its own. The
file of inputs is kept in the temporary folder, and is written on when a run was interrupted.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

IMAGES = {False: 1_000_000, True: 50_000}
DIFFERENT, SIDE, BYTES = 512, 64, 2048
READS = 100_000
_CHUNK = 100_000


def measure(quick: bool) -> dict:
    """Pack, verify and read in processes of their own.

    Returns:
        seconds of each step, peak_gb of each process with its children, and notes: images a second.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from harness import watched

    count = IMAGES[quick]
    inputs = Path(tempfile.gettempdir(), "mlimages-benchmark-small-photos.bin")
    lengths = write_inputs(inputs, count)
    result: dict = {"seconds": {}, "peak_gb": {}, "notes": {"images": count}}
    with tempfile.TemporaryDirectory(dir=inputs.parent) as folder:
        create(Path(folder, "DB"), inputs, lengths, count)
        for step in ("pack", "verify", "read"):
            command = [sys.executable, __file__, step, str(Path(folder, "DB"))]
            output, _, peak = watched(command, inputs.parent)
            done = json.loads(output)
            result["seconds"][f"{step}_small"] = done["seconds"]
            result["peak_gb"][f"{step}_small"] = peak
            result["notes"][f"{step}_images_per_second"] = done["images"] / done["seconds"]
    return result


def write_inputs(path: Path, count: int) -> list[int]:
    """Write the photos one behind the other, as far as they are not there; lengths of a round."""
    photos = [_photo(seed) for seed in range(DIFFERENT)]
    lengths = [len(photo) for photo in photos]
    round_bytes = b"".join(photos)
    rounds = -(-count // DIFFERENT)
    path.touch()
    with path.open("r+b") as file:
        whole = path.stat().st_size // len(round_bytes)
        file.seek(whole * len(round_bytes))
        for _ in range(rounds - whole):
            file.write(round_bytes)
    return lengths


def _photo(seed: int) -> bytes:
    """A JPEG of up to BYTES bytes, as fine as they allow."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    for quality in range(95, 10, -3):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= BYTES:
            break
    return buffer.getvalue()


def create(root: Path, inputs: Path, lengths: list[int], count: int) -> None:
    """A database of `count` images, each a piece of the file of inputs."""
    from mlimages.database import Database
    from mlimages.labels.reading import Reading
    from mlimages.schemas import READING_FACTS, READING_IMAGES
    from mlimages.taxonomy.categories import released_taxonomy

    starts = np.concatenate([[0], np.cumsum(lengths)])

    def readings() -> Iterator[Reading]:
        for first in range(0, count, _CHUNK):
            rows = range(first, min(first + _CHUNK, count))
            uris = [
                f"range://{row // DIFFERENT * starts[-1] + starts[row % DIFFERENT]}"
                f"+{lengths[row % DIFFERENT]}::{inputs}"
                for row in rows
            ]
            columns: dict[str, object] = {
                field.name: [None] * len(rows) for field in READING_IMAGES
            }
            columns |= {"id": [f"small-{row:08d}" for row in rows], "uri": uris}
            columns["split"] = ["train"] * len(rows)
            facts = {
                "image": range(len(rows)),
                "category": [row % 1000 for row in rows],
                "present": [True] * len(rows),
                "confidence": [1.0] * len(rows),
                "kind": ["asserted"] * len(rows),
            }
            yield Reading(
                "small",
                pa.table(columns, schema=READING_IMAGES),
                pa.table({name: list(values) for name, values in facts.items()}, READING_FACTS),
            )

    Database.create(root, released_taxonomy()).add(readings())


def pack(root: str) -> int:
    """Pack all; the number of images."""
    from mlimages.database import Database

    report = Database.open(root).pack()
    if report.rejected or report.to_fetch:
        raise SystemExit(f"error: {report}")
    return report.packed


def verify(root: str) -> int:
    """Read every byte of every shard; the number of images."""
    from mlimages.images.packing.inspecting import verify_shards
    from mlimages.store import Store

    report = verify_shards(Store.open(root))
    if report.findings:
        raise SystemExit(f"error: {report.findings[:3]}")
    return report.images


def read(root: str) -> int:
    """Read images in random order, each checked by its checksum; how many."""
    from mlimages.database import Database

    reader = Database.open(root).reader()
    rows = np.random.default_rng(0).choice(reader.rows, min(READS, len(reader)), replace=False)
    for row in rows.tolist():
        reader.read(row)
    return len(rows)


def main() -> None:
    """Run one step in a process of its own, or all with `--quick` or without."""
    if len(sys.argv) < 3:
        print(json.dumps(measure("--quick" in sys.argv), indent=1))
        return
    step = {"pack": pack, "verify": verify, "read": read}[sys.argv[1]]
    start = time.perf_counter()
    images = step(sys.argv[2])
    print(json.dumps({"images": images, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
