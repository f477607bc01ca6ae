"""The figures that describe a database: the paper's table, and the data of its two plots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.absences import single_label_rows
from mlimages.labels.tags import Tags
from mlimages.taxonomy.categories import Taxonomy

TRAINABLE_ABOVE = 100  # the paper's "trainable" categories have more than 100 training images
MOST_FREQUENT = 10


@dataclass(frozen=True)
class Spread:
    """Mean, least and greatest of some counts; zeros when there are none."""

    mean: float
    minimum: int
    maximum: int


@dataclass(frozen=True)
class SourceCounts:
    """What one source said."""

    source: str
    format: str
    single_label: bool
    exhaustive_categories: int
    images: int
    present_facts: int
    absent_facts: int


@dataclass(frozen=True)
class Statistics:
    """Figures of a database; `dataclasses.asdict` gives plain JSON.

    Attributes:
        images: all images.
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
        tags_by_reason: asserted, ancestor, cooccurrence.
        sources: one entry a source.
        most_frequent: (key, name, images) of the most frequent categories that are not sensitive.
        category_sizes: images of each category that has any, descending: the paper's first plot.
        tag_counts: entry k is the number of images with k tags: the paper's second plot.
    """

    images: int
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
    tags_by_reason: dict[str, int]
    sources: list[SourceCounts]
    most_frequent: list[tuple[str, str, int]]
    category_sizes: list[int]
    tag_counts: list[int]


def compute(
    taxonomy: Taxonomy,
    *,
    images: pa.Table,
    sources: pa.Table,
    facts: pa.Table,
    tags: pa.Table,
    splits: pa.Table,
) -> Statistics:
    """Count everything, from tables of the schemas of the same names.

    Raises:
        InputError: the tags are of another number of images: some were imported since.
    """
    held = Tags.from_table(tags)
    check_tags_are_current(len(held), images.num_rows)
    sizes = _images_of_each(held, np.ones(len(held), dtype=bool), len(taxonomy))
    single = single_label_rows(images, sources)
    in_single = _images_of_each(held, single, len(taxonomy))
    train = np.zeros(images.num_rows, dtype=bool)
    train[splits.filter(pc.equal(splits["split"], "train"))["row"].to_numpy()] = True
    in_train = _images_of_each(held, train, len(taxonomy))
    per_image = np.diff(held.indptr)
    return Statistics(
        images=images.num_rows,
        images_with_tags=int(np.count_nonzero(per_image)),
        tags=len(held.categories),
        categories=len(taxonomy),
        categories_with_images=int(np.count_nonzero(sizes)),
        trainable_categories=int(np.count_nonzero(in_train > TRAINABLE_ABOVE)),
        categories_in_both_parts=int(np.count_nonzero((in_single > 0) & (sizes > in_single))),
        tags_per_image=_spread(per_image[per_image > 0]),
        images_per_category=_spread(sizes[sizes > 0]),
        images_by_part={"single": int(single.sum()), "multi": int((~single).sum())},
        images_by_split=_count_values(splits["split"]),
        tags_by_reason=held.count_by_reason(),
        sources=_count_sources(images, sources, facts),
        most_frequent=_most_frequent(taxonomy, sizes),
        category_sizes=np.sort(sizes[sizes > 0])[::-1].tolist(),
        tag_counts=np.bincount(per_image).tolist() if len(per_image) else [],
    )


def check_tags_are_current(tagged: int, images: int) -> None:
    """Raise InputError unless tags were derived for all images."""
    if tagged != images:
        raise InputError(
            "tags",
            f"derived for {tagged:,} images, the database has {images:,} by now",
            "run: mlimages complete DB",
        )


def _images_of_each(tags: Tags, chosen: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Number of chosen images of each category."""
    return np.bincount(tags.categories[chosen[tags.rows]], minlength=size)


def _spread(counts: NDArray[np.int64]) -> Spread:
    if len(counts) == 0:
        return Spread(0.0, 0, 0)
    return Spread(float(counts.mean()), int(counts.min()), int(counts.max()))


def _count_values(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column).to_pylist()
    return {
        entry["values"]: entry["counts"] for entry in sorted(counted, key=lambda e: e["values"])
    }


def _count_sources(images: pa.Table, sources: pa.Table, facts: pa.Table) -> list[SourceCounts]:
    annotated = _count_values(images["sources"].combine_chunks().flatten())
    present = _count_values(facts.filter(facts["present"])["source"])
    said = _count_values(facts["source"])
    return [
        SourceCounts(
            source=row["source"],
            format=row["format"],
            single_label=row["single_label"],
            exhaustive_categories=len(row["exhaustive"] or ()),
            images=annotated.get(row["source"], 0),
            present_facts=present.get(row["source"], 0),
            absent_facts=said.get(row["source"], 0) - present.get(row["source"], 0),
        )
        for row in sources.to_pylist()
    ]


def _most_frequent(taxonomy: Taxonomy, sizes: NDArray[np.int64]) -> list[tuple[str, str, int]]:
    shown: list[tuple[str, str, int]] = []
    for index in np.argsort(-sizes, kind="stable").tolist():
        category = taxonomy.categories[index]
        if sizes[index] == 0 or len(shown) == MOST_FREQUENT:
            break
        if not category.sensitive:
            shown.append((category.key, category.name, int(sizes[index])))
    return shown
