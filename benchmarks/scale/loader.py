"""A loader over 17.6 million positions: seconds until its first batch, private memory of a worker.

The index is that of 3,400 shards, which are hard links to one of 5,176 different small photos; each
image has 8 tags of 11,166. Ready is from the index on disk to the first batch of worker processes,
which is then asked for from the middle of an epoch as well. Workers are forked from the process
itself, or from a server beside it, whose start counts too. Spawned ones, each of which imports
PyTorch anew, are there to compare.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SHARDS, IN_SHARD = {False: 3_400, True: 100}, 5_176
TAGS, CATEGORIES, WORKERS, BATCH = 8, 11_166, 2, 256


def measure(quick: bool) -> dict:
    """Start a loader with forked processes, with a fork server's and with spawned ones.

    Returns:
        seconds until the first batch and until one from the middle of an epoch; peak_gb of all
        processes and, private, of the largest worker; notes: images.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from harness import watched

    result: dict = {"seconds": {}, "peak_gb": {}, "notes": {"images": SHARDS[quick] * IN_SHARD}}
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), SHARDS[quick])
        for method in ("fork", "forkserver", "spawn"):
            command = [sys.executable, __file__, method, folder]
            output, _, peak = watched(command, Path(folder))
            done = json.loads(output)
            result["seconds"] |= {f"{step}_{method}": done[step] for step in ("ready", "resume")}
            result["peak_gb"][f"all_{method}"] = peak
            result["peak_gb"][f"private_worker_{method}"] = done["private"] / 1e9
    return result


def write_shards(folder: Path, shards: int) -> None:
    """One tar of small photos, linked as often as there are shards, and the index of all."""
    offsets, lengths, checksums = [], [], []
    first = folder / "000000.tar"
    with tarfile.open(first, "w") as archive:
        for number in range(IN_SHARD):
            file = io.BytesIO()
            pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(file, "JPEG")
            data = file.getvalue()
            member = tarfile.TarInfo(f"{number:06d}.jpg")
            member.size = len(data)
            offsets.append(archive.offset + tarfile.BLOCKSIZE)
            lengths.append(len(data))
            checksums.append(zlib.crc32(data))
            archive.addfile(member, io.BytesIO(data))
    for shard in range(1, shards):
        os.link(first, folder / f"{shard:06d}.tar")
    columns = {
        "row": np.arange(shards * IN_SHARD, dtype=np.int32),
        "shard": np.repeat(np.arange(shards, dtype=np.int32), IN_SHARD),
        "offset": np.tile(np.array(offsets, dtype=np.int64), shards),
        "length": np.tile(np.array(lengths, dtype=np.int32), shards),
        "crc32": np.tile(np.array(checksums, dtype=np.uint32), shards),
    }
    pq.write_table(pa.table(columns), folder / "index.parquet")


def start(method: str, folder: Path) -> dict[str, float]:
    """Make a loader, and take a batch from the start and one from the middle of an epoch."""
    from torch.utils.data import DataLoader

    from mlimages.images.augmentation import AugmentationSettings
    from mlimages.images.shards import ShardReader
    from mlimages.selection import Selection
    from mlimages.training.dataset import LaneSampler, ShardDataset, collate
    from mlimages.training.processes import server_context
    from mlimages.training.tags import TagMatrix

    count = pq.read_metadata(folder / "index.parquet").num_rows
    selection = Selection(
        np.arange(count, dtype=np.int32),
        np.arange(count + 1) * TAGS,
        (np.arange(count * TAGS, dtype=np.int64) % CATEGORIES).astype(np.int32),
        np.ones(count * TAGS, dtype=np.float32),
    )
    begun = time.perf_counter()
    server = method == "forkserver"
    context = server_context() if server else multiprocessing.get_context(method)
    reader = ShardReader(folder, pq.read_table(folder / "index.parquet"))
    tags = TagMatrix(selection, np.arange(CATEGORIES))
    dataset = ShardDataset(reader, selection, tags, AugmentationSettings(), 64)
    order = dataset.order()
    found: dict[str, float] = {}
    for step, seen in (("ready", 0), ("resume", count // 2)):
        if step == "resume":
            begun = time.perf_counter()
        loader = iter(
            DataLoader(
                dataset,
                batch_sampler=LaneSampler(order, BATCH, seen),  # type: ignore[arg-type]
                collate_fn=collate,
                num_workers=WORKERS,
                multiprocessing_context=context,
            )
        )
        next(loader)
        found[step] = time.perf_counter() - begun
        for _ in range(10):
            next(loader)
        found["private"] = max(private_bytes(worker.pid) for worker in loader._workers)
        del loader
    return found


def private_bytes(process: int) -> int:
    """Unique set size: what would be freed if the process ended."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(start(sys.argv[1], Path(sys.argv[2]))))
    else:
        print(json.dumps(measure("--quick" in sys.argv), indent=2))
