"""Groups of copies as a reader is shown them: each image, why it was joined, why one is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.images.duplicates.reporting import Group, groups_across_splits, groups_of
from mlimages.labels.lookup import image_records, split_codes
from mlimages.store import Store

SHOWN = 100


@dataclass(frozen=True)
class ShownImage:
    """An image of a group.

    Attributes:
        row, id: of the image.
        split: its split, or "".
        sources: who annotated it.
        width, height: pixels; 0 where nobody said.
        bytes: length of its file; 0 where nobody said.
        evidence: why it is the same as the kept image; "" for that one.
        distance, likeness, position: see schemas.DUPLICATES; None but for perceptual evidence.
        categories: first names of what its own facts say is there.
    """

    row: int
    id: str
    split: str
    sources: list[str]
    width: int
    height: int
    bytes: int
    evidence: str
    distance: int | None
    likeness: float | None
    position: str | None
    categories: list[str]


@dataclass(frozen=True)
class ShownGroup:
    """A group of copies.

    Attributes:
        kept: the image that stands for all.
        because: why that one.
        others: the images that it stands for, the most alike first.
        splits: names of the splits, when there are several.
    """

    kept: ShownImage
    because: str
    others: list[ShownImage]
    splits: list[str]


@dataclass(frozen=True)
class ShownGroups:
    """Groups to look at; those across splits, then those found by their looks, come first.

    Attributes:
        groups: not more than were asked for.
        hidden_sensitive: groups that are not shown for a sensitive category, of all.
    """

    groups: list[ShownGroup]
    hidden_sensitive: int

    def rows(self) -> list[int]:
        """Rows of all images shown."""
        return [image.row for group in self.groups for image in (group.kept, *group.others)]


def show_groups(
    store: Store, duplicates: pa.Table, limit: int = SHOWN, *, include_sensitive: bool = False
) -> ShownGroups:
    """What to show of a table of duplicates.

    Args:
        store: the database.
        duplicates: schemas.DUPLICATES.
        limit: most groups to show.
        include_sensitive: also show groups of which an image has a sensitive category.
    """
    groups = groups_of(duplicates)
    records = {record["row"]: record for record in duplicates.to_pylist()}
    across = {group[0]: splits for splits, group in groups_across_splits(store, groups)}
    hidden = set()
    if not include_sensitive:
        hidden = sensitive_rows(store, (row for group in groups for row in group))
    shown = [group for group in groups if not hidden & set(group)]

    def order(group: Group) -> tuple[bool, float]:
        alike = [records[row]["likeness"] for row in group[1:]]
        return group[0] not in across, min(1.0 if one is None else one for one in alike)

    chosen = sorted(shown, key=order)[:limit]
    images = describe_images(store, [row for group in chosen for row in group], records)
    return ShownGroups(
        [_group([images[row] for row in group], across.get(group[0], ())) for group in chosen],
        len(groups) - len(shown),
    )


def describe_images(
    store: Store, rows: Sequence[int], records: dict[int, dict]
) -> dict[int, ShownImage]:
    """Images by row; `records` tell of evidence, by row, as schemas.DUPLICATES or LEAKS do."""
    about = image_records(store, rows, ["id", "sources", "width", "height", "bytes"])
    packed = packed_sizes(store, rows)
    names, codes = split_codes(store)
    said = _categories(store, rows)
    found = {}
    for row in dict.fromkeys(rows):
        record, one = records.get(row, {}), about[row]
        width, height, length = packed.get(row, (one["width"], one["height"], one["bytes"]))
        found[row] = ShownImage(
            row,
            one["id"],
            names[codes[row]] if codes[row] >= 0 else "",
            one["sources"] or [],
            width or 0,
            height or 0,
            length or 0,
            record.get("evidence") or "",
            record.get("distance"),
            record.get("likeness"),
            record.get("position"),
            said.get(row, []),
        )
    return found


def packed_sizes(store: Store, rows: Iterable[int]) -> dict[int, tuple[int, int, int]]:
    """(width, height, bytes) by row, of those images that are packed."""
    wanted = pa.array(sorted(set(rows)), pa.int32())
    columns = ["row", "width", "height", "length"]
    table = store.table("shards/index", columns, where=pc.field("row").isin(wanted))
    return {row: tuple(values) for row, *values in zip(*table.to_pydict().values(), strict=True)}


def sensitive_rows(store: Store, rows: Iterable[int]) -> set[int]:
    """Those of some images about which a fact or a tag of a sensitive category says present."""
    categories = store.table("categories", ["category", "sensitive"])
    sensitive = categories.filter(categories["sensitive"])["category"].combine_chunks()
    wanted = np.unique(np.fromiter(rows, np.int32))
    size = store.manifest.partition_rows
    found: set[int] = set()
    for number in np.unique(wanted // size).tolist():
        own = pa.array(wanted[wanted // size == number])
        among = pc.field("row").isin(own)
        of_these = among & pc.field("category").isin(sensitive)
        for name, where in (("facts", of_these & pc.field("present")), ("postings", of_these)):
            found |= set(store.table(name, ["row"], number, where)["row"].to_pylist())
    return found


def _categories(store: Store, rows: Sequence[int]) -> dict[int, list[str]]:
    """First names of the categories that sources say are there, by row."""
    names = store.table("categories", ["category", "names"]).to_pydict()
    first = dict(zip(names["category"], (n[0].split(",")[0] for n in names["names"]), strict=True))
    wanted, size = np.unique(np.array(rows, np.int32)), store.manifest.partition_rows
    found: dict[int, list[str]] = {}
    for number in np.unique(wanted // size).tolist():
        own = pa.array(wanted[wanted // size == number])
        where = pc.field("row").isin(own) & pc.field("present") & (pc.field("kind") != "duplicate")
        table = store.table("facts", ["row", "category"], number, where).to_pydict()
        for row, category in zip(table["row"], table["category"], strict=True):
            if first[category] not in found.setdefault(row, []):
                found[row].append(first[category])
    return found


def _group(images: list[ShownImage], splits: Sequence[str]) -> ShownGroup:
    kept, others = images[0], sorted(images[1:], key=lambda image: -(image.likeness or 2))
    return ShownGroup(kept, _because(kept, others), others, list(splits))


def _because(kept: ShownImage, others: Sequence[ShownImage]) -> str:
    """Which rule of `ranking` chose it, against all others."""
    pixels = kept.width * kept.height
    rivals = [image for image in others if image.width * image.height == pixels]
    if not rivals:
        return "most pixels"
    rivals = [image for image in rivals if len(image.sources) == len(kept.sources)]
    if not rivals:
        return "as many pixels, most sources"
    rivals = [image for image in rivals if image.bytes == kept.bytes]
    return "as many pixels, most bytes" if not rivals else "the first of equals"
