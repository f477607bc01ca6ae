"""The tags of a batch as a sparse matrix: about nine entries an image instead of 11,166."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

UNKNOWN = -1.0  # a value that says: neither present nor absent, leave this entry out of the loss


@dataclass(frozen=True)
class SparseTargets:
    """Tags of B images over `num_classes` categories, in compressed rows.

    Attributes:
        indptr: int64 [B + 1]; image i has the entries indptr[i] to indptr[i + 1].
        indices: int64 [entries]; their categories, without repeats within an image.
        values: float32 [entries]; confidence in (0, 1], 0 for a known absence, or -1 for unknown.
            Of a category without an entry nothing is known: the loss decides what it makes of it.
        num_classes: number of categories.
        weights: float32 [entries], factors on the terms of entries; None: all 1.
    """

    indptr: torch.Tensor
    indices: torch.Tensor
    values: torch.Tensor
    num_classes: int
    weights: torch.Tensor | None = None

    def __len__(self) -> int:
        return self.indptr.numel() - 1

    @property
    def rows(self) -> torch.Tensor:
        """int64 [entries]: the image of each entry."""
        images = torch.arange(len(self), device=self.indptr.device)
        return torch.repeat_interleave(images, self.indptr.diff())

    def to(self, device: torch.device | str) -> SparseTargets:
        """The same targets on a device."""
        return SparseTargets(
            self.indptr.to(device),
            self.indices.to(device),
            self.values.to(device),
            self.num_classes,
            None if self.weights is None else self.weights.to(device),
        )

    def take(self, images: torch.Tensor) -> SparseTargets:
        """The targets of some of the images, int64 [k], in any order and with repeats."""
        counts = self.indptr.diff()[images]
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        shift = torch.repeat_interleave(self.indptr[images] - indptr[:-1], counts)
        entries = shift + torch.arange(int(indptr[-1]), device=shift.device)
        weights = None if self.weights is None else self.weights[entries]
        indices, values = self.indices[entries], self.values[entries]
        return SparseTargets(indptr, indices, values, self.num_classes, weights)

    def dense(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """[B, num_classes]; only for tests and small vocabularies."""
        matrix = torch.zeros(len(self), self.num_classes, dtype=dtype, device=self.values.device)
        matrix[self.rows, self.indices] = self.values.to(dtype)
        return matrix

    @classmethod
    def from_dense(cls, matrix: torch.Tensor) -> SparseTargets:
        """Keep the entries of [B, num_classes] that are not 0."""
        rows, indices = matrix.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=matrix.shape[0])
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(indptr, indices, matrix[rows, indices].float(), matrix.shape[1])

    @classmethod
    def concatenate(cls, parts: Sequence[SparseTargets]) -> SparseTargets:
        """The images of several targets of one vocabulary, one after the other."""
        counts = torch.cat([part.indptr.diff() for part in parts])
        weights = [part.weights for part in parts if part.weights is not None]
        return cls(
            torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            torch.cat([part.indices for part in parts]),
            torch.cat([part.values for part in parts]),
            parts[0].num_classes,
            torch.cat(weights) if len(weights) == len(parts) else None,
        )
