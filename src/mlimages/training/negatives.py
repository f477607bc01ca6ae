"""What counts as a negative while a model is measured, as metrics/multilabel.py wants it.

    verified      what someone said is absent, with what lies below it in the hierarchy
    exhaustive    what a source that names all of its categories left unsaid

Only average precision has negatives; what is among an image's highest scores has not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mlimages.errors import InputError
from mlimages.metrics.results import Negatives
from mlimages.selection import KnownAbsences, Selection
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.absences import OutputAbsences

_NOBODY = "nobody said of a measured category that it is absent from one of them"
_NO_SOURCE = "none is of a source that names all of its categories"


class KnownNegatives:
    """The negatives of the images of a selection.

    Args:
        kind: "verified" or "exhaustive".
        known: what is known not to be in these images.
        selection: these images, with their tags.
        hierarchy: over the vocabulary.
        columns: vocabulary indices of the columns of the scores.

    Raises:
        InputError: there are no such negatives.

    Attributes:
        exhaustive: bool [groups, columns] for `MultilabelMetrics`, or None.
    """

    def __init__(
        self,
        kind: Negatives,
        known: KnownAbsences,
        selection: Selection,
        hierarchy: Hierarchy,
        columns: np.ndarray,
    ) -> None:
        self.exhaustive: np.ndarray | None = None
        self._groups, self._absences = known.groups, None
        if kind == "exhaustive":
            self.exhaustive = np.array([np.isin(columns, members) for members in known.closed])
            if not self.exhaustive[np.unique(known.groups)].any():
                raise _missing(kind, _NO_SOURCE)
        else:
            said = dataclasses.replace(
                known, groups=np.zeros_like(known.groups), closed=(np.empty(0, np.int32),)
            )
            self._absences = OutputAbsences(said, selection, hierarchy, columns)
            if not self._absences:
                raise _missing(kind, _NOBODY)

    def of(self, samples: np.ndarray, indptr: np.ndarray, tags: np.ndarray) -> dict[str, Any]:
        """What `MultilabelMetrics.update` wants beside the scores.

        Args:
            samples: images, by their position in the selection.
            indptr, tags: their tags, as columns; one source that says present is enough.
        """
        if self._absences is None:
            return {"group": self._groups[samples]}
        absent = self._absences.of(samples)
        absent[np.repeat(np.arange(len(samples)), np.diff(indptr)), tags] = False
        ends = np.cumsum(absent.sum(1))
        return {"absent": (np.concatenate([[0], ends]), absent.nonzero()[1])}


def _missing(kind: Negatives, cause: str) -> InputError:
    return InputError(
        f"the {kind} negatives of the images to measure on",
        cause,
        "measure against closed-world negatives, or import sources that say what is absent",
    )
