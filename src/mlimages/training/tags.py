"""The tags of a split as sparse targets, and which categories the model has outputs for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from mlimages.errors import InputError
from mlimages.labels.sparse import expand
from mlimages.losses.targets import SparseTargets
from mlimages.selection import KnownAbsences, Selection
from mlimages.training.absences import OutputAbsences


class TagMatrix:
    """The tags of a split, renumbered to the model's outputs as they are taken.

    It shares the selection's arrays, whatever the outputs are: nothing of a large split is copied.

    Args:
        selection: images and their tags as vocabulary indices.
        outputs: vocabulary indices of the model's outputs, in order.
        absences: what is known to be absent, where the loss tells it from what is unknown.
    """

    def __init__(
        self,
        selection: Selection,
        outputs: np.ndarray,
        absences: OutputAbsences | None = None,
    ) -> None:
        self.num_classes = len(outputs)
        self.absences = absences
        self._selection, self._outputs = selection, outputs
        size = int(max(selection.categories.max(initial=-1), outputs.max(initial=-1))) + 1
        self._place = np.full(size, -1, dtype=np.int64)  # of each vocabulary index
        self._place[outputs] = np.arange(len(outputs))

    def frequencies(self) -> np.ndarray:
        """Images of each output, int64 [num_classes]."""
        counts = np.bincount(self._selection.categories, minlength=len(self._place))
        return counts[self._outputs]

    def take(self, samples: np.ndarray) -> SparseTargets:
        """Tags and known absences of some images of the split, by their position in it."""
        present = self.present(samples)
        if self.absences is None:
            return present
        absent = self.absences.of(samples)
        rows, columns = present.rows.numpy(), present.indices.numpy()
        absent[rows, columns] = False  # one source that says present is enough
        absent_rows, absent_columns = absent.nonzero()
        rows = np.concatenate([rows, absent_rows])
        order = np.argsort(rows, kind="stable")
        columns = np.concatenate([columns, absent_columns])
        values = np.concatenate([present.values.numpy(), np.zeros(len(absent_rows), np.float32)])
        counts = np.bincount(rows, minlength=len(samples))
        return self._targets(counts, columns[order], values[order])

    def present(self, samples: np.ndarray) -> SparseTargets:
        """Their tags only."""
        owner, entries = expand(self._selection.indptr, samples)
        indices = self._place[self._selection.categories[entries]]
        kept = indices >= 0
        counts = np.bincount(owner[kept], minlength=len(samples))
        values = self._selection.confidences[entries[kept]].astype(np.float32, copy=False)
        return self._targets(counts, indices[kept], values)

    def _targets(
        self, counts: np.ndarray, columns: np.ndarray, values: np.ndarray
    ) -> SparseTargets:
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return SparseTargets(
            torch.from_numpy(indptr),
            torch.from_numpy(columns.astype(np.int64, copy=False)),
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


def fingerprint(
    selection: Selection, keys: Sequence[str], known: KnownAbsences | None = None
) -> str:
    """32 hexadecimal digits that change when the images, their tags or known absences do."""
    digest = hashlib.blake2b(digest_size=16)
    absent = (known.indptr, known.categories, known.groups, *known.closed) if known else ()
    for array in (
        selection.rows.astype(np.int64),
        selection.indptr.astype(np.int64),
        selection.categories.astype(np.int64),
        selection.confidences.astype(np.float32),
        *absent,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(keys).encode())
    return digest.hexdigest()
