"""All scores of an evaluation, in memory up to a limit and in a temporary file beyond it.

Exact average precision needs every score of a category: that a negative is below all positives is
known only at the end. 88,739 images of 11,166 categories are 4 GB; the file takes them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from mlimages.storage import storage_errors

MEMORY_BYTES = 1 << 29
BLOCK_VALUES = 1 << 24
"""Scores that are read back at once."""


class ScoreStore:
    """Batches of scores, float32 [B, num_categories], read back in blocks of whole images."""

    def __init__(self, num_categories: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self.num_categories = num_categories
        self.num_images = 0
        self._memory_bytes = memory_bytes
        self._held: list[np.ndarray] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None

    def append(self, scores: np.ndarray) -> None:
        """Add a batch; raises StorageError when the temporary file does not fit."""
        self.num_images += len(scores)
        repeated = scores.strides[0] == 0  # a view of one row, which takes no memory
        # The caller may use its array again.
        self._held.append(scores if repeated else scores.copy())
        self._held_bytes += 0 if repeated else scores.nbytes
        if self._held_bytes > self._memory_bytes:
            self._spill()

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the first image, scores [b, num_categories]) over all images, in order."""
        first, width = 0, 4 * self.num_categories
        if self._file is not None:
            rows = max(1, BLOCK_VALUES // self.num_categories)
            self._file.seek(0)
            while data := self._file.read(rows * width):
                block = np.frombuffer(data, np.float32).reshape(-1, self.num_categories)
                yield first, block
                first += len(block)
            self._file.seek(0, 2)
        for scores in self._held:
            yield first, scores
            first += len(scores)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="mlimages-scores-")  # noqa: SIM115
        with storage_errors(Path(tempfile.gettempdir())):
            for scores in self._held:
                self._file.write(np.ascontiguousarray(scores, np.float32).data)
        self._held, self._held_bytes = [], 0
