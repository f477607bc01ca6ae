"""What a database holds beyond images and categories, and how much of it an export leaves out."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.exports.values import EXTRA_COLUMNS, is_public
from mlimages.labels.exports.view import Block, View

FEATURES = {
    "absences": "{n} absences that a source states",
    "exhaustive": "{n} categories for which a source's silence means absence",
    "confidences": "{n} confidences below 1",
    "reasons": "the rules that gave {n} tags",
    "because": "the supports of {n} tags",
    "fact_sources": "the sources of {n} facts",
    "kinds": "the kinds of {n} facts that are not plainly asserted",
    "image_sources": "the sources of {n} images",
    "ids": "the ids of {n} images",
    "splits": "the splits of {n} images",
    "urls": "the URLs of {n} images",
    "further_urls": "{n} further URLs",
    "local": "{n} paths on this machine (never published)",
    "licence": "the licences of {n} images",
    "author": "the authors of {n} images",
    "sizes": "the sizes of {n} images",
    "hierarchy": "{n} links from a category to its parent",
    "further_parents": "{n} further parents (WordNet's)",
    "further_names": "{n} further names of categories",
    "glosses": "the glosses of {n} categories",
    "sensitive": "the marks of {n} sensitive categories",
    "cooccurrence": "{n} co-occurring pairs with their evidence",
}
"""What may be lost, with the sentence that says so."""


class Inventory:
    """Counts of every feature over the blocks of a view."""

    def __init__(self, view: View) -> None:
        """Count what does not depend on the images."""
        categories = view.taxonomy.categories
        forest = len(view.taxonomy.hierarchy("tencent").edges()[0])
        graph = view.taxonomy.hierarchy("wordnet")
        parents = np.diff(graph.parents[0])
        self.counts = dict.fromkeys([*FEATURES, *EXTRA_COLUMNS], 0)
        self.counts["exhaustive"] = view.exhaustive
        self.counts["hierarchy"] = forest
        self.counts["further_parents"] = int(np.maximum(parents - 1, 0).sum())
        self.counts["further_names"] = sum(len(category.names) - 1 for category in categories)
        self.counts["glosses"] = sum(bool(category.gloss) for category in categories)
        self.counts["sensitive"] = sum(category.sensitive for category in categories)
        self.counts["cooccurrence"] = view.store.num_rows("cooccurrence")
        self.images = self.tags = 0

    def add(self, block: Block) -> None:
        """Count what a block holds."""
        self.images += len(block)
        self.tags += len(block.tags.categories)
        counts = self.counts
        derived = int(np.count_nonzero(block.tags.reasons))
        counts["reasons"] += derived
        counts["because"] += derived
        counts["confidences"] += int(np.count_nonzero(block.tags.confidences < 1))
        counts["absences"] += int(np.count_nonzero(~block.facts.present))
        counts["fact_sources"] += len(block.facts.rows)
        counts["kinds"] += int(np.count_nonzero(block.facts.kinds))
        for name in ("image_sources", "ids", "splits"):
            counts[name] += len(block)
        public, local = _places(block)
        counts["urls"] += int(np.count_nonzero(public))
        counts["further_urls"] += int(np.maximum(public - 1, 0).sum())
        counts["local"] += local
        counts["sizes"] += _held(block, "width")
        for name in ("licence", "author", *EXTRA_COLUMNS):
            counts[name] += _held(block, name)

    def not_carried(self, carries: frozenset[str]) -> list[tuple[str, int]]:
        """(what, how many) of everything counted that a format does not carry."""
        sentences = dict(FEATURES) | {name: f"{name} of {{n}} images" for name in EXTRA_COLUMNS}
        return [
            (sentence.format(n=f"{self.counts[name]:,}"), self.counts[name])
            for name, sentence in sentences.items()
            if name not in carries and self.counts[name]
        ]


def _places(block: Block) -> tuple[NDArray[np.int64], int]:
    """(URLs of each image, number of paths on this machine)."""
    lists = block.images["uris"].combine_chunks()
    open_to_all = is_public(lists.flatten())
    owner = lists.value_parent_indices().to_numpy()
    return np.bincount(owner[open_to_all], minlength=len(block)), int((~open_to_all).sum())


def _held(block: Block, column: str) -> int:
    return len(block) - block.images[column].null_count - _empty(block, column)


def _empty(block: Block, column: str) -> int:
    values = block.images[column]
    if str(values.type) != "string":
        return 0
    return pc.sum(pc.equal(values, ""), min_count=0).as_py() or 0
