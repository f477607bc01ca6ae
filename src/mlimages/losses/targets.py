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
        values: float32 [entries]; confidence in (0, 1], 0 for a stated absence, or -1 for unknown.
            A category without an entry is absent.
        num_classes: number of categories.
    """

    indptr: torch.Tensor
    indices: torch.Tensor
    values: torch.Tensor
    num_classes: int

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
        )

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
        return cls(
            torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            torch.cat([part.indices for part in parts]),
            torch.cat([part.values for part in parts]),
            parts[0].num_classes,
        )
