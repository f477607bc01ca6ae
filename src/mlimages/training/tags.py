"""The tags of a split as sparse targets, and which categories the model has outputs for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from mlimages.errors import InputError
from mlimages.losses.targets import SparseTargets
from mlimages.selection import Selection


class TagMatrix:
    """The tags of a split, renumbered to the model's outputs as they are taken.

    It shares the selection's arrays, whatever the outputs are: nothing of a large split is copied.

    Args:
        selection: images and their tags as vocabulary indices.
        outputs: vocabulary indices of the model's outputs, in order.
    """

    def __init__(self, selection: Selection, outputs: np.ndarray) -> None:
        self.num_classes = len(outputs)
        self._selection, self._outputs = selection, outputs
        size = int(max(selection.categories.max(initial=-1), outputs.max(initial=-1))) + 1
        self._place = np.full(size, -1, dtype=np.int64)  # of each vocabulary index
        self._place[outputs] = np.arange(len(outputs))

    def frequencies(self) -> np.ndarray:
        """Images of each output, int64 [num_classes]."""
        counts = np.bincount(self._selection.categories, minlength=len(self._place))
        return counts[self._outputs]

    def take(self, samples: np.ndarray) -> SparseTargets:
        """The tags of some images of the split, by their position in it."""
        starts = self._selection.indptr[samples]
        counts = self._selection.indptr[samples + 1] - starts
        indptr = np.concatenate([[0], np.cumsum(counts)])
        entries = np.repeat(starts - indptr[:-1], counts) + np.arange(indptr[-1])
        indices = self._place[self._selection.categories[entries]]
        kept = indices >= 0
        indptr = np.concatenate([[0], np.cumsum(kept)])[indptr]
        values = self._selection.confidences[entries[kept]].astype(np.float32, copy=False)
        return SparseTargets(
            torch.from_numpy(indptr),
            torch.from_numpy(indices[kept]),
            torch.from_numpy(values),
            self.num_classes,
        )


def choose_outputs(selection: Selection, minimum_images: int) -> np.ndarray:
    """Vocabulary indices of the categories with enough images, in vocabulary order.

    Raises:
        InputError: there is none.
    """
    outputs = np.flatnonzero(np.bincount(selection.categories) >= minimum_images)
    if len(outputs) == 0:
        raise InputError(
            "the training images",
            f"no category has {minimum_images} or more",
            "lower data.minimum_images, or run: mlimages complete",
        )
    return outputs


def fingerprint(selection: Selection, keys: Sequence[str]) -> str:
    """32 hexadecimal digits that change when the images or their tags do."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (
        selection.rows.astype(np.int64),
        selection.indptr.astype(np.int64),
        selection.categories.astype(np.int64),
        selection.confidences.astype(np.float32),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(keys).encode())
    return digest.hexdigest()
