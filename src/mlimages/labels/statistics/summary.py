"""The figures that describe a database: the paper's table, and the data of its two plots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.statistics.long_tail import LongTail, measure_long_tail
from mlimages.labels.statistics.tag_counts import NO_SPLIT_NAME, TagCounts, count_tags
from mlimages.schemas import TAG_REASONS
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

TRAINABLE_ABOVE = 100  # the paper's "trainable" categories have more than 100 training images
MOST_FREQUENT = 10

PUBLISHED = {
    "images": 17_609_752,
    "categories": 11_166,
    "trainable_categories": 10_505,
    "tags_per_image": 8.72,
    "images_per_category": 13_843.0,
}
"""What the authors print for the training images of Tencent ML-Images (README of the release)."""


@dataclass(frozen=True)
class Spread:
    """Mean, least and greatest of some counts; zeros when there are none."""

    mean: float
    minimum: int
    maximum: int


@dataclass(frozen=True)
class SourceCounts:
    """What one source said; facts that merging duplicates added are not counted."""

    source: str
    format: str
    single_label: bool
    exhaustive_categories: int
    images: int
    present_facts: int
    absent_facts: int


@dataclass(frozen=True)
class DepthCounts:
    """Categories of one depth: edges on the longest path from a root."""

    depth: int
    categories: int
    with_images: int
    tags: int
    tags_by_reason: dict[str, int]


@dataclass(frozen=True)
class Statistics:
    """Figures of a database; `dataclasses.asdict` gives plain JSON.

    Duplicates that were merged away are in `duplicates` only, and images removed on request in
    `removed` only; every other figure leaves them out.

    Attributes:
        images: all images.
        duplicates: images that another one stands for.
        removed: images removed on request.
        images_with_tags: those with a tag at least.
        tags: pairs of image and category.
        categories: size of the vocabulary.
        categories_with_images: categories that are a tag of some image.
        trainable_categories: categories with more than 100 images in the split `train`.
        categories_in_both_parts: categories with images of both parts of `images_by_part`.
        tags_per_image: over images with tags.
        images_per_category: over categories with images.
        images_by_part: "single" (only single-label sources, as ImageNet, annotated them), "multi".
        images_by_split: images of each split.
        tags_by_split: tags of each split's images.
        tags_by_reason: asserted, ancestor, cooccurrence.
        sources: one entry a source.
        depths: one entry a depth of the hierarchy.
        long_tail: measures of how uneven the categories are.
        most_frequent: (key, name, images) of the most frequent categories that are not sensitive.
        category_sizes: images of each category that has any, descending: the paper's first plot.
        tag_counts: entry k is the number of images with k tags: the paper's second plot.
        published: the paper's own table, for comparison.
    """

    images: int
    duplicates: int
    removed: int
    images_with_tags: int
    tags: int
    categories: int
    categories_with_images: int
    trainable_categories: int
    categories_in_both_parts: int
    tags_per_image: Spread
    images_per_category: Spread
    images_by_part: dict[str, int]
    images_by_split: dict[str, int]
    tags_by_split: dict[str, int]
    tags_by_reason: dict[str, int]
    sources: list[SourceCounts]
    depths: list[DepthCounts]
    long_tail: LongTail
    most_frequent: list[tuple[str, str, int]]
    category_sizes: list[int]
    tag_counts: list[int]
    published: dict[str, float]


def compute(store: Store, taxonomy: Taxonomy, hierarchy: Hierarchy) -> Statistics:
    """Count everything, one partition of the database at a time.

    Args:
        store: the database.
        taxonomy: its vocabulary.
        hierarchy: the one that the tags were derived with; it gives the depths.

    Raises:
        DatabaseError: the tags are of another number of images: some were imported since.
    """
    counts = count_tags(store, len(taxonomy))
    return summarise(counts, taxonomy, hierarchy, store.table("sources"))


def summarise(
    counts: TagCounts, taxonomy: Taxonomy, hierarchy: Hierarchy, sources: pa.Table
) -> Statistics:
    """The figures that follow from the counts of `counting.count_tags`."""
    by_reason = counts.by_reason()
    sizes = by_reason.sum(axis=0)
    in_train = counts.of_split("train").sum(axis=0)
    single = set(sources.filter(sources["single_label"])["source"].to_pylist())
    in_single = counts.of(lambda group: single.issuperset(group.sources)).sum(axis=0)
    lengths = counts.images_by_number_of_tags
    images = counts.images.total()
    splits, annotated, of_part = Counter[str](), Counter[str](), Counter[str](single=0, multi=0)
    for group, number in counts.images.items():
        splits[group.split] += number
        annotated.update(dict.fromkeys(group.sources, number))
        of_part["single" if single.issuperset(group.sources) else "multi"] += number
    names = sorted(splits.keys() - {NO_SPLIT_NAME})
    return Statistics(
        images=images,
        duplicates=counts.duplicates,
        removed=counts.removed,
        images_with_tags=int(lengths[1:].sum()),
        tags=int(sizes.sum()),
        categories=len(taxonomy),
        categories_with_images=int(np.count_nonzero(sizes)),
        trainable_categories=int(np.count_nonzero(in_train > TRAINABLE_ABOVE)),
        categories_in_both_parts=int(np.count_nonzero((in_single > 0) & (sizes > in_single))),
        tags_per_image=_spread_of_histogram(lengths),
        images_per_category=_spread(sizes[sizes > 0]),
        images_by_part=dict(of_part),
        images_by_split={name: splits[name] for name in names},
        tags_by_split={name: int(counts.of_split(name).sum()) for name in names},
        tags_by_reason=_named(by_reason.sum(axis=1)),
        sources=_count_sources(sources, annotated, counts.facts),
        depths=_count_depths(by_reason, hierarchy),
        long_tail=measure_long_tail(sizes),
        most_frequent=_most_frequent(taxonomy, sizes),
        category_sizes=np.sort(sizes[sizes > 0])[::-1].tolist(),
        tag_counts=lengths.tolist(),
        published=dict(PUBLISHED),
    )


def compare_with_published(counted: Statistics) -> list[dict[str, Any]]:
    """The paper's table: a label, this database's figure and the published one, a line."""
    rows = (
        ("images", "images", counted.images, 0),
        ("categories", "categories", counted.categories, 0),
        ("trainable categories", "trainable_categories", counted.trainable_categories, 0),
        ("tags an image", "tags_per_image", counted.tags_per_image.mean, 2),
        ("images a category", "images_per_category", counted.images_per_category.mean, 0),
    )
    return [
        {"label": label, "here": here, "published": counted.published[name], "digits": digits}
        for label, name, here, digits in rows
    ]


def _named(by_reason: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(TAG_REASONS, by_reason.tolist(), strict=True))


def _spread(counts: NDArray[np.int64]) -> Spread:
    if len(counts) == 0:
        return Spread(0.0, 0, 0)
    return Spread(float(counts.mean()), int(counts.min()), int(counts.max()))


def _spread_of_histogram(images: NDArray[np.int64]) -> Spread:
    """Of the numbers of tags of images with tags, from images [number of tags]."""
    numbers = np.flatnonzero(images)
    numbers = numbers[numbers > 0]
    if len(numbers) == 0:
        return Spread(0.0, 0, 0)
    mean = float(np.average(numbers, weights=images[numbers]))
    return Spread(mean, int(numbers[0]), int(numbers[-1]))


def _count_sources(
    sources: pa.Table, annotated: Counter[str], facts: Counter[tuple[str, bool]]
) -> list[SourceCounts]:
    return [
        SourceCounts(
            source=row["source"],
            format=row["format"],
            single_label=row["single_label"],
            exhaustive_categories=len(row["exhaustive"] or ()),
            images=annotated[row["source"]],
            present_facts=facts[row["source"], True],
            absent_facts=facts[row["source"], False],
        )
        for row in sources.to_pylist()
    ]


def _count_depths(by_reason: NDArray[np.int64], hierarchy: Hierarchy) -> list[DepthCounts]:
    depths, sizes = hierarchy.depths, by_reason.sum(axis=0)
    found = []
    for depth in range(int(depths.max(initial=-1)) + 1):
        here = depths == depth
        tags = by_reason[:, here].sum(axis=1)
        with_images = int(np.count_nonzero(sizes[here]))
        found.append(
            DepthCounts(depth, int(here.sum()), with_images, int(tags.sum()), _named(tags))
        )
    return found


def _most_frequent(taxonomy: Taxonomy, sizes: NDArray[np.int64]) -> list[tuple[str, str, int]]:
    shown: list[tuple[str, str, int]] = []
    for index in np.argsort(-sizes, kind="stable").tolist():
        category = taxonomy.categories[index]
        if sizes[index] == 0 or len(shown) == MOST_FREQUENT:
            break
        if not category.sensitive:
            shown.append((category.key, category.name, int(sizes[index])))
    return shown
