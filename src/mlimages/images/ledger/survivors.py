"""Which categories keep enough images when those that cannot be fetched are gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlimages.images.ledger.work import packed_images
from mlimages.labels.lookup import left_out, split_codes
from mlimages.labels.statistics.summary import TRAINABLE_ABOVE
from mlimages.labels.tag_blocks import tag_blocks
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy

TRAIN = "train"


@dataclass(frozen=True)
class CategorySurvival:
    """Images of a category: all that are listed, and those whose bytes are in a shard."""

    key: str
    name: str
    listed: int
    packed: int


@dataclass(frozen=True)
class Survivors:
    """Images by category before and after fetching.

    Attributes:
        split: whose images are counted; None for all, where there is no split `train`.
        listed: images, without those left out.
        packed: of these, in a shard.
        trainable_listed: categories with more than 100 listed images, the paper's threshold.
        trainable_packed: categories with more than 100 packed images.
        fell: categories that were above the threshold and are no longer, the largest first.
        hidden_sensitive: sensitive ones among them, not in `fell`.
        categories: every category with a listed image that may be named.
    """

    split: str | None
    listed: int
    packed: int
    trainable_listed: int
    trainable_packed: int
    fell: list[CategorySurvival]
    hidden_sensitive: int
    categories: list[CategorySurvival]


def count_survivors(
    store: Store, taxonomy: Taxonomy, *, include_sensitive: bool = False
) -> Survivors:
    """Count the images of each category, partition by partition.

    Args:
        store: the database, with tags.
        taxonomy: its vocabulary.
        include_sensitive: also name sensitive categories.
    """
    chosen = ~left_out(store)
    names, codes = split_codes(store)
    split = TRAIN if TRAIN in names else None
    if split is not None:
        chosen &= codes == names.index(split)
    packed = chosen & packed_images(store)
    listed_of, packed_of = (np.zeros(len(taxonomy), np.int64) for _ in range(2))
    for block in tag_blocks(store, "counting survivors"):
        lengths = np.diff(block.indptr)
        for images, counts in ((chosen, listed_of), (packed, packed_of)):
            mine = images[block.rows]
            categories = block.categories
            if not mine.all():
                categories = categories[np.repeat(mine, lengths)]
            counts += np.bincount(categories, minlength=len(taxonomy))
    sensitive = np.array([category.sensitive for category in taxonomy.categories], dtype=bool)
    named = np.ones(len(taxonomy), bool) if include_sensitive else ~sensitive
    fell = (listed_of > TRAINABLE_ABOVE) & (packed_of <= TRAINABLE_ABOVE)
    order = np.argsort(-listed_of, kind="stable")

    def survivals(which: np.ndarray) -> list[CategorySurvival]:
        return [
            CategorySurvival(
                taxonomy.categories[index].key,
                taxonomy.categories[index].name,
                int(listed_of[index]),
                int(packed_of[index]),
            )
            for index in order[which[order]].tolist()
        ]

    return Survivors(
        split=split,
        listed=int(np.count_nonzero(chosen)),
        packed=int(np.count_nonzero(packed)),
        trainable_listed=int(np.count_nonzero(listed_of > TRAINABLE_ABOVE)),
        trainable_packed=int(np.count_nonzero(packed_of > TRAINABLE_ABOVE)),
        fell=survivals(fell & named),
        hidden_sensitive=int(np.count_nonzero(fell & ~named)),
        categories=survivals((listed_of > 0) & named),
    )
