"""A database in memory with the methods that training uses, so that its tests need no files."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mlimages.errors import InputError
from mlimages.images.decoding import decode
from mlimages.selection import KnownAbsences
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.objective import OutputStatistics
from mlimages.training.recipe import Recipe

KEYS = ("scene", "red", "green", "blue", "never")
PARENTS = {0: (), 1: (0,), 2: (0,), 3: (0,), 4: ()}


@dataclass
class FakeSelection:
    rows: np.ndarray
    indptr: np.ndarray
    categories: np.ndarray
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class FakeReader:
    """Images of 32 x 32 whose strong channels are their tags; some rows may be broken."""

    broken: set[int] = field(default_factory=set)
    remote = False

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros_like(rows), rows

    def image(self, row: int, minimum_side: int | None = None) -> np.ndarray:
        return decode(self.read(row))

    def read(self, row: int) -> bytes:
        if row in self.broken:
            raise InputError(f"row {row}", "truncated", "pack it again")
        noise = np.random.Generator(np.random.Philox(key=[7, row])).integers(0, 120, (32, 32, 3))
        for tag in tags_of(row)[1:]:
            noise[..., tag - 1] += 130
        file = io.BytesIO()
        Image.fromarray(noise.astype(np.uint8)).save(file, "PNG", compress_level=0)
        return file.getvalue()


def tags_of(row: int) -> list[int]:
    """Every image is a scene; two or one of the colours, the later ones rarer."""
    chosen = [0]
    if row % 2 == 0:
        chosen.append(1)
    if row % 3 == 0:
        chosen.append(2)
    if row % 5 == 0:
        chosen.append(3)
    return chosen


class FakeDatabase:
    """Rows 0 to `train` - 1 are the training split, 20 more are for validation."""

    root = "DB"

    def __init__(self, train: int = 40, broken: set[int] | None = None) -> None:
        self.splits = {"train": np.arange(train), "validation": np.arange(train, train + 20)}
        self.fake_reader = FakeReader(broken or set())
        categories = [SimpleNamespace(key=key, name=key.title()) for key in KEYS]
        edges = [(child, parent) for child, above in PARENTS.items() for parent in above]
        hierarchy = Hierarchy.from_edges(len(KEYS), *zip(*edges, strict=True))
        self.taxonomy = SimpleNamespace(categories=categories, hierarchy=lambda mode: hierarchy)
        self.rules = SimpleNamespace(hierarchy="tencent")

    def select(self, split: str, part: str = "all") -> FakeSelection:
        if split not in self.splits:
            raise InputError(split, "no such split in the database", "known: train, validation")
        rows = self.splits[split].astype(np.int32)
        tags = [tags_of(int(row)) for row in rows]
        indptr = np.concatenate([[0], np.cumsum([len(t) for t in tags])]).astype(np.int64)
        categories = np.array([c for t in tags for c in t], dtype=np.int32)
        confidences = np.where(categories == 3, 0.9, 1.0).astype(np.float32)
        return FakeSelection(rows, indptr, categories, confidences)

    def absences(self, selection: FakeSelection) -> KnownAbsences:
        """Some images are said to have no blue; a source names all reds of the odd rows."""
        said = [[3] if row % 7 == 0 and row % 5 else [] for row in selection.rows.tolist()]
        indptr = np.concatenate([[0], np.cumsum([len(absent) for absent in said])])
        categories = np.array([c for absent in said for c in absent], dtype=np.int32)
        closed = (np.empty(0, np.int32), np.array([1], np.int32))
        return KnownAbsences(indptr, categories, (selection.rows % 2).astype(np.int32), closed)

    def reader(self, cache: object = None) -> FakeReader:
        return self.fake_reader


def tiny_recipe(*changes: str, **sections: dict[str, Any]) -> Recipe:
    """A recipe that trains in a second on one core."""
    values: dict[str, Any] = {
        "name": "tiny",
        "model": {"depth": 26, "width": 0.0625, "stem": "small", "batch_norm_momentum": 0.1},
        "data": {"image_size": 32, "batch_size": 8, "workers": 2, "broken_limit": 0.2},
        "optimizer": {"learning_rate": 0.05},
        "schedule": {"epochs": 2, "warmup_epochs": 1, "decay_epochs": [1.5]},
        "evaluation": {"minimum_positives": 1, "crop_fraction": 1.0},
        "hardware": {"device": "cpu", "log_seconds": 0},
    }
    for section, settings in sections.items():
        values[section] = {**values.get(section, {}), **settings}
    return Recipe.from_dict(values).override(*changes)


def train_in_process(out: str, resume: bool, changes: tuple[str, ...]) -> None:
    """Train in a process of its own, which a test may kill; always on one thread."""
    import torch

    from mlimages.training.loop import train

    torch.set_num_threads(1)
    train(FakeDatabase(), tiny_recipe(*changes), out, resume)  # type: ignore[arg-type]


def statistics_of(frequencies: ArrayLike, num_images: int = 40) -> OutputStatistics:
    """Of outputs without a hierarchy."""
    counts = np.asarray(frequencies)
    flat = Hierarchy.from_edges(len(counts), [], [])
    return OutputStatistics.of(counts, num_images, flat, np.arange(len(counts)))
