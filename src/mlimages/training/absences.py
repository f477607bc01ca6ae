"""Which of a model's outputs are known to be absent from images; looked up batch by batch.

Absences are stored where they were said. What follows from them is computed here: an output is
absent when it, or anything above it in the hierarchy, was said to be absent, or is a category that
an exhaustive source of the image would have named and did not.
"""

from __future__ import annotations

import numpy as np

from mlimages.labels.sparse import contains, expand, make_keys, upward
from mlimages.selection import KnownAbsences, Selection
from mlimages.taxonomy.hierarchy import Hierarchy


class OutputAbsences:
    """See the module.

    Args:
        known: what is known of the images of a selection.
        selection: these images, with their tags.
        hierarchy: over the vocabulary.
        outputs: vocabulary indices of the model's outputs, in order.
    """

    def __init__(
        self,
        known: KnownAbsences,
        selection: Selection,
        hierarchy: Hierarchy,
        outputs: np.ndarray,
    ) -> None:
        self.num_classes = len(outputs)
        self._said = known.indptr, known.categories
        self._groups = known.groups
        sizes = [len(categories) for categories in known.closed]
        closed = np.concatenate([np.empty(0, np.int32), *known.closed])
        self._closed = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), closed
        self._tags = selection.indptr, selection.categories
        table = upward(hierarchy)
        output, place = expand(table.indptr, outputs)
        above = table.ancestors[place]
        order = np.argsort(above, kind="stable")
        # The outputs at or below each category of the vocabulary.
        starts = np.searchsorted(above[order], np.arange(hierarchy.num_categories + 1))
        self._below = starts, output[order].astype(np.int32)

    def __bool__(self) -> bool:
        """Whether anything is known to be absent from any image."""
        return len(self._said[1]) > 0 or bool(np.diff(self._closed[0])[self._groups].any())

    def of(self, samples: np.ndarray) -> np.ndarray:
        """bool [k, num_classes], for some images by their position in the selection.

        As dense as the logits that it is for, so not for more images than a forward pass has.
        """
        image, category = _look_up(self._said, samples)
        silent_image, silent = _look_up(self._closed, self._groups[samples])
        tagged = np.sort(make_keys(*_look_up(self._tags, samples)))
        unsaid = ~contains(tagged, make_keys(silent_image, silent))
        image = np.concatenate([image, silent_image[unsaid]])
        category = np.concatenate([category, silent[unsaid]])
        owner, output = _look_up(self._below, category)
        absent = np.zeros((len(samples), self.num_classes), dtype=bool)
        absent[image[owner], output] = True
        return absent


def _look_up(
    table: tuple[np.ndarray, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each item in some rows of (indptr, items): the position in `rows`, and the item."""
    owner, place = expand(table[0], rows)
    return owner, table[1][place]
