"""One side of the feeding benchmark: a loader in a process of its own, timed when it is told to.

Run as `python benchmarks/peers/feeding.py SIDE`; a line on standard input names a folder and starts
a pass over all its photos, whose seconds are printed, by the clock and of the processor. Peers are
written as their documentation has it:
https://docs.pytorch.org/vision/stable/auto_examples/transforms/plot_transforms_getting_started.html
https://webdataset.github.io/webdataset/ and https://huggingface.co/docs/datasets/image_process
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SIZE, BATCH = 224, 32
SIDES = (
    "ours",
    "bare",
    "torchvision",
    "webdataset",
    "datasets",
    "torchvision_our_transform",
    "webdataset_our_transform",
    "datasets_our_transform",
)


def paper_in_torchvision() -> Any:
    """The paper's augmentation as torchvision v2 documents it, to uint8 tensors."""
    import torch
    from torchvision.transforms import v2

    colour = v2.ColorJitter(32 / 255, (0.5, 1.5), (0.5, 1.5), 0.2)
    bilinear = v2.InterpolationMode.BILINEAR
    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(SIZE, (0.7, 1.0), (3 / 4, 4 / 3), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.RandomRotation(45, bilinear)], 0.25),
            v2.RandomApply([colour], 0.5),
            v2.ToDtype(torch.uint8, scale=True),
        ]
    )


class OurTransform:
    """Bytes to the augmented image as a tensor, [3, size, size]."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data: bytes) -> Any:
        import torch

        from mlimages.images.augmentation import AugmentationSettings, draw
        from mlimages.images.random_numbers import sample_generator
        from mlimages.images.views import train_view

        self.count += 1
        parameters = draw(AugmentationSettings(), sample_generator(0, 0, self.count))
        return torch.from_numpy(train_view(data, SIZE, parameters)).permute(2, 0, 1)


def ours(folder: Path) -> Iterable[Any]:
    from torch.utils.data import DataLoader

    from mlimages.training.dataset import LaneSampler, collate

    dataset = our_dataset(folder)
    sampler = LaneSampler(dataset.order(), BATCH)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=collate)


def our_dataset(folder: Path) -> Any:
    """Every photo of the shards with one tag."""
    import numpy as np
    import pyarrow.parquet as pq

    from mlimages.images.augmentation import AugmentationSettings
    from mlimages.images.shards import ShardReader
    from mlimages.selection import Selection
    from mlimages.training.dataset import ShardDataset
    from mlimages.training.tags import TagMatrix

    index = pq.read_table(folder / "shards" / "index.parquet")
    rows = index["row"].to_numpy()
    one = np.ones(len(rows), dtype=np.float32)
    selection = Selection(rows, np.arange(len(rows) + 1), np.zeros(len(rows), np.int32), one)
    tags = TagMatrix(selection, np.array([0]))
    return ShardDataset(
        ShardReader(folder / "shards", index), selection, tags, AugmentationSettings(), SIZE
    )


class Bare:
    """The JPEG decoder alone, on bytes in memory."""

    def __init__(self, folder: Path) -> None:
        self.files = [path.read_bytes() for path in sorted(folder.glob("photos/*/*.jpg"))]

    def __iter__(self) -> Any:
        import simplejpeg

        for start in range(0, len(self.files), BATCH):
            part = self.files[start : start + BATCH]
            for data in part:
                simplejpeg.decode_jpeg(data, colorspace="RGB")
            yield part


def torchvision(folder: Path, our_transform: bool = False) -> Iterable[Any]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    root = folder / "photos"
    if our_transform:
        data = ImageFolder(root, OurTransform(), loader=lambda path: Path(path).read_bytes())
    else:
        data = ImageFolder(root, paper_in_torchvision())
    return DataLoader(data, BATCH, shuffle=True)


def webdataset(folder: Path, our_transform: bool = False) -> Iterable[Any]:
    import webdataset as wds

    shards = sorted(map(str, (folder / "shards").glob("*.tar")))
    data = wds.WebDataset(shards, shardshuffle=len(shards)).shuffle(100)
    if our_transform:
        data = data.to_tuple("jpg").map_tuple(OurTransform())
    else:
        data = data.decode("pil").to_tuple("jpg").map_tuple(paper_in_torchvision())
    return wds.WebLoader(data.batched(BATCH), batch_size=None)


def datasets(folder: Path, our_transform: bool = False) -> Iterable[Any]:
    from datasets import Dataset, Image
    from torch.utils.data import DataLoader

    files = [
        {"bytes": path.read_bytes(), "path": None} for path in sorted(folder.glob("photos/*/*.jpg"))
    ]
    data = Dataset.from_dict({"image": files}).cast_column("image", Image(decode=not our_transform))
    ours, theirs = OurTransform(), paper_in_torchvision()

    def change(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if our_transform:
            return {"image": [ours(row["bytes"]) for row in rows["image"]]}
        return {"image": [theirs(row.convert("RGB")) for row in rows["image"]]}

    return DataLoader(data.with_transform(change), BATCH, shuffle=True)


def loader(side: str, folder: Path) -> Iterable[Any]:
    """What a side iterates over, once a pass."""
    makers: dict[str, Callable[..., Iterable[Any]]] = {"ours": ours, "bare": Bare}
    if side in makers:
        return makers[side](folder)
    peers = {"torchvision": torchvision, "webdataset": webdataset, "datasets": datasets}
    name, ours_handed, _ = side.partition("_our_transform")
    return peers[name](folder, our_transform=bool(ours_handed))


def images_of(batch: Any) -> Any:
    """The images of a batch, whatever the loader calls them."""
    if isinstance(batch, dict):
        return batch["image"]
    return batch.images if hasattr(batch, "images") else batch[0]


def serve(side: str) -> None:
    """Pin to one core; time a pass over the photos of each folder that comes on a line."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(1)
    loaders: dict[str, Iterable[Any]] = {}
    print(json.dumps({"ready": side}), flush=True)
    for line in sys.stdin:
        folder = line.strip()
        answer: dict[str, Any] = {}
        if folder not in loaders:
            started = time.perf_counter()
            loaders[folder] = loader(side, Path(folder))
            first = next(iter(loaders[folder]))
            answer["first"] = time.perf_counter() - started
            answer["shape"] = [] if side == "bare" else list(images_of(first).shape)
        batches, started, spent = loaders[folder], time.perf_counter(), time.process_time()
        count = sum(len(batch) if side == "bare" else len(images_of(batch)) for batch in batches)
        answer["processor"] = time.process_time() - spent
        answer |= {"seconds": time.perf_counter() - started, "images": count}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
