"""The rules that derive tags from facts: ancestors, and co-occurring categories.

For one image, with F the categories that a source said are present:

1. Every category of F is a tag, and so is every ancestor of one; an ancestor's confidence is the
   greatest of all categories of F at or below it.
2. For each strongly co-occurring pair (i, j) of `cooccurrence.py` with i in F and j not yet a tag,
   j becomes a tag with the confidence of i, unless the image is known not to show j (`Absences`).
   Such a tag never causes another one.
3. Every ancestor of these new tags becomes a tag, as in 1.

A correction outranks all sources (`present_facts`).

Nothing here is of size images x categories. The work is done by `with_numba.py`, image by
image, or without numba by `with_numpy.py`; tests hold both to the same tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import pyarrow as pa

from mlimages.errors import InputError
from mlimages.labels import compiled
from mlimages.labels.absences import Absences, absent_categories
from mlimages.labels.facts import check_range
from mlimages.labels.tags import Tags
from mlimages.taxonomy.hierarchy import Hierarchy

__all__ = ["Absences", "Rules", "Tags", "absent_categories", "derive_tags"]


@dataclass(frozen=True)
class Rules:
    """How tags are derived; the defaults are the paper's.

    Attributes:
        hierarchy: "tencent" (the released forest) or "wordnet" (all hypernyms).
        minimum_probability: a prediction counts when its probability is greater.
        minimum_ratio: a pair co-occurs when CO(i, j) is greater.
        cooccurrence_counts: which tags are counted as causes, and act as causes: "asserted" only,
            or "all" (their ancestors too).
        cooccurrence_from: what tells which categories co-occur: "predictions" of a network on the
            single-label part, or the "tags" of the multi-label part themselves.
        minimum_images: a pair co-occurs when its cause has that many images at least; None stands
            for 1 with predictions, as in the paper, and for 100 with tags: on a few images, the
            share of any tag is high by chance.

    Raises:
        InputError: a value out of range.
    """

    hierarchy: Literal["tencent", "wordnet"] = "tencent"
    minimum_probability: float = 0.95
    minimum_ratio: float = 0.5
    cooccurrence_counts: Literal["asserted", "all"] = "asserted"
    cooccurrence_from: Literal["predictions", "tags"] = "predictions"
    minimum_images: int | None = None

    @property
    def least_images(self) -> int:
        """`minimum_images`, or what None stands for."""
        if self.minimum_images is None:
            return 1 if self.cooccurrence_from == "predictions" else 100
        return self.minimum_images

    def __post_init__(self) -> None:
        for name in ("minimum_probability", "minimum_ratio"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(
                    name.replace("_", " "), f"{value}", "use 0 or more and less than 1"
                )
        if self.minimum_images is not None and self.minimum_images < 1:
            raise InputError("minimum images", f"{self.minimum_images}", "use 1 or more")
        for name, known in (
            ("hierarchy", ("tencent", "wordnet")),
            ("cooccurrence_counts", ("asserted", "all")),
            ("cooccurrence_from", ("predictions", "tags")),
        ):
            if getattr(self, name) not in known:
                what = name.replace("_", " ")
                raise InputError(what, f"{getattr(self, name)!r}", f"use {' or '.join(known)}")


def derive_tags(
    facts: pa.Table,
    num_rows: int,
    hierarchy: Hierarchy,
    cooccurrence: pa.Table | None = None,
    absences: Absences | None = None,
    causes: Literal["asserted", "all"] = "asserted",
) -> Tags:
    """Derive the tags of some images: a pure function, whatever the order of its inputs' rows.

    Args:
        facts: schemas.FACTS.
        num_rows: number of images; facts are about rows 0..num_rows - 1.
        hierarchy: over the categories.
        cooccurrence: schemas.COOCCURRENCE, pairs of cause and effect.
        absences: what is known to be absent (`absent_categories`); only co-occurrence asks it.
        causes: as `Rules.cooccurrence_counts`.

    Raises:
        InputError: a fact about an image or a category that is not there.
    """
    check_range(facts, num_rows, hierarchy)
    derivation = _derivation()
    return derivation.derive_tags(facts, num_rows, hierarchy, cooccurrence, absences, causes)


def _derivation() -> ModuleType:
    if compiled.available():
        from mlimages.labels.derivation import with_numba

        return with_numba
    from mlimages.labels.derivation import with_numpy

    return with_numpy
