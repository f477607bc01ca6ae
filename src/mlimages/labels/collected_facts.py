"""Facts of a reading in the making, in arrays: a reader may find millions."""

from __future__ import annotations

from array import array

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.schemas import FACT_KINDS, READING_FACTS


class CollectedFacts:
    """Facts in the order in which they were found, 14 bytes each."""

    def __init__(self) -> None:
        self._images, self._categories = array("i"), array("i")
        self._confidences = array("f")
        self._present, self._kinds = array("b"), array("b")

    def __len__(self) -> int:
        return len(self._present)

    def add(self, image: int, category: int, confidence: float, present: bool, kind: str) -> None:
        """Add what is said of an image (its position) and a category."""
        self._images.append(image)
        self._categories.append(category)
        self._confidences.append(confidence)
        self._present.append(present)
        self._kinds.append(FACT_KINDS.index(kind))

    def extend(
        self,
        images: NDArray[np.integer],
        categories: NDArray[np.integer],
        confidences: NDArray[np.floating],
        present: NDArray[np.bool_],
        kinds: NDArray[np.integer],
    ) -> None:
        """Add many at once, with kinds as positions in FACT_KINDS."""
        self._images.frombytes(images.astype(np.int32).tobytes())
        self._categories.frombytes(categories.astype(np.int32).tobytes())
        self._confidences.frombytes(confidences.astype(np.float32).tobytes())
        self._present.frombytes(present.astype(np.int8).tobytes())
        self._kinds.frombytes(kinds.astype(np.int8).tobytes())

    def table(self) -> pa.Table:
        """READING_FACTS: one a (image, category, present), the most confident."""
        images, categories = np.array(self._images), np.array(self._categories)
        confidences = np.array(self._confidences)
        present, kinds = np.array(self._present, bool), np.array(self._kinds, np.int8)
        order = np.lexsort((kinds, -confidences, ~present, categories, images))
        first = np.ones(len(order), bool)
        first[1:] = False
        for column in (images, categories, present):
            first[1:] |= column[order[1:]] != column[order[:-1]]
        kept = order[first]
        return pa.table(
            {
                "image": images[kept].astype(np.int32),
                "category": categories[kept].astype(np.int32),
                "present": present[kept],
                "confidence": confidences[kept].astype(np.float32),
                "kind": pa.DictionaryArray.from_arrays(
                    pa.array(kinds[kept], pa.int32()), list(FACT_KINDS)
                ),
            },
            schema=READING_FACTS,
        )
