"""Publishing a database: its hash, its reconciliation and three exports, at two sizes.

The database is drawn: two facts an image, closed under ancestors by `complete`; its size is images.
What is measured runs in a process of its own, for its memory.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from harness import Outcome, main, watched

from mlimages.database import Database
from mlimages.labels.reading import Reading
from mlimages.schemas import READING_FACTS, READING_IMAGES
from mlimages.taxonomy.categories import released_taxonomy

SIZES = (500_000, 2_000_000)
QUICK = (25_000, 50_000)
STEPS = {
    "hash": ["hash", "DB"],
    "check": ["check", "DB"],
    "tencent": ["export", "tencent", "DB", "tencent"],
    "huggingface": ["export", "huggingface", "DB", "huggingface"],
    "webdataset": ["export", "webdataset", "DB", "webdataset"],
}


def measure(quick: bool, work: Path) -> Outcome:
    """Build a database of each size and run every step on it."""
    outcome = Outcome()
    sizes = QUICK if quick else SIZES
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as name:
            folder = Path(name)
            build(folder / "DB", size)
            for step, arguments in STEPS.items():
                command = [sys.executable, "-m", "mlimages", *arguments]
                _, seconds, peak = watched(command, folder)
                outcome.seconds[f"{step} {size:,} images"] = seconds
                outcome.peak_gb[f"{step} {size:,} images"] = peak
    for step in STEPS:
        small, large = (outcome.seconds[f"{step} {size:,} images"] for size in sizes)
        outcome.ratios[f"{step}: time of {sizes[1] // sizes[0]} times the images"] = large / small
    return outcome


def build(root: Path, images: int) -> None:
    """Write and complete a database of drawn images."""
    taxonomy = released_taxonomy()
    generator = np.random.default_rng(0)
    names = [f"{i:08x}_{i % 997:03d}_o" for i in range(images)]
    table = {
        "id": names,
        "uri": [f"https://example.org/{name}.jpg" for name in names],
        "split": ["train"] * images,
        "licence": ["https://creativecommons.org/licenses/by/2.0/"] * images,
        "author": [f"author {i % 5003}" for i in range(images)],
    }
    columns = [table.get(field.name, [None] * images) for field in READING_IMAGES]
    # Two different categories an image, so that no fact is said twice.
    first = generator.integers(0, len(taxonomy), images)
    second = (first + generator.integers(1, len(taxonomy), images)) % len(taxonomy)
    facts = {
        "image": np.repeat(np.arange(images, dtype=np.int32), 2),
        "category": np.stack([first, second], axis=1).ravel().astype(np.int32),
        "present": np.ones(2 * images, dtype=bool),
        "confidence": np.full(2 * images, 0.9, dtype=np.float32),
        "kind": ["asserted"] * (2 * images),
    }
    reading = Reading(
        source="drawn",
        images=pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, READING_IMAGES, strict=True)],
            schema=READING_IMAGES,
        ),
        facts=pa.table(facts).cast(READING_FACTS),
    )
    Database.create_from(root, taxonomy, reading)[0].complete()


if __name__ == "__main__":
    main("Publication", measure, ["numpy", "pyarrow"], writes=True)
