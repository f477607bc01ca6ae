"""One's own labels: class folders, or a CSV or Parquet table of photos and tags.

A table has a column for the photo (image, image_id, path, file or filename) and one for its tags
(tags, tag, labels, label, class or category): one tag, several with a separator between, or in
Parquet a list. A column `split` with train and test says which photos are for what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from mlimages.errors import InputError
from mlimages.models.probe import read_class_folders
from mlimages.transfer.datasets.records import TaggedPhotos, find_photo

PHOTO_COLUMNS = ("image", "image_id", "path", "file", "filename")
TAG_COLUMNS = ("tags", "tag", "labels", "label", "class", "category")
TEST_NAMES = ("test", "val", "validation")
SEPARATORS = (";", "|", ",", " ")
TABLES = (".csv", ".parquet")


def read_own(
    place: Path | str,
    photos: Path | str | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    skip_missing: bool = False,
    separator: str | None = None,
) -> tuple[TaggedPhotos, TaggedPhotos, int]:
    """Photos to learn from, photos to test on, and how many rows had no photo.

    Args:
        place: a folder of class folders, or a table.
        photos: where a table's photos are; by default the table's folder.
        test_share: of each combination of tags, held out where the table names no split.
        seed: of that draw.
        skip_missing: leave rows without a photo out.
        separator: between the tags of a row; by default the first of ; | , and space that occurs.

    Raises:
        InputError: names the file, the cause and the fix.
    """
    place = Path(place)
    if place.is_dir():
        found = read_class_folders(place)
        tags = np.zeros((len(found.photos), len(found.names)), np.float32)
        tags[np.arange(len(tags)), found.labels] = 1
        everything = TaggedPhotos(tuple(found.names), found.photos, tags)
        return *_held_out(everything, test_share, seed), 0
    table = _read(place)
    names = [str(name) for name in table[_column(table, PHOTO_COLUMNS, place)].to_pylist()]
    values = table[_column(table, TAG_COLUMNS, place)].to_pylist()
    rows = _split_tags(values, separator)
    folder = Path(photos) if photos is not None else place.parent
    paths = [find_photo(folder, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing and (not skip_missing or len(missing) == len(names)):
        raise InputError(
            f"{place}: {missing[0]}",
            f"{len(missing):,} of {len(names):,} rows have no photo in {folder}",
            "name their folder with --photos, or add --skip-missing",
        )
    kept = [number for number, path in enumerate(paths) if path is not None]
    classes = tuple(sorted({tag for number in kept for tag in rows[number]}))
    if len(classes) < 2:
        raise InputError(place, f"names {len(classes)} categories", "give two or more")
    position = {name: number for number, name in enumerate(classes)}
    tags = np.zeros((len(kept), len(classes)), np.float32)
    for row, number in zip(tags, kept, strict=True):
        row[[position[tag] for tag in rows[number]]] = 1
    everything = TaggedPhotos(classes, [path for path in paths if path is not None], tags)
    if "split" in table.column_names:
        stated = np.array([str(value) for value in table["split"].to_pylist()])[kept]
        test = np.isin(stated, TEST_NAMES)
        if not test.any() or test.all():
            cause = "its column `split` does not name both train and test"
            raise InputError(place, cause, "use train, and test or val")
        return (
            everything.take(np.flatnonzero(~test)),
            everything.take(np.flatnonzero(test)),
            len(missing),
        )
    return *_held_out(everything, test_share, seed), len(missing)


def _held_out(photos: TaggedPhotos, share: float, seed: int) -> tuple[TaggedPhotos, TaggedPhotos]:
    """Deal out photos by their combination of tags; the first of each stays for learning."""
    generator = np.random.default_rng([seed, 6])
    test = np.zeros(len(photos), bool)
    order = generator.permutation(len(photos))
    _, groups = np.unique(photos.tags[order], axis=0, return_inverse=True)
    groups = groups.ravel()
    # What is left of a group's share goes on to the next, so that rare combinations count too.
    owed = 0.0
    for group in range(int(groups.max()) + 1):
        members = order[groups == group]
        owed += share * len(members)
        number = min(int(owed + 1e-9), len(members) - 1)
        owed -= number
        test[members[len(members) - number :]] = True
    if not test.any():
        cause = f"{len(photos)} photos are too few to hold {share:.0%} out"
        raise InputError("own labels", cause, "add photos, or a column `split`")
    return photos.take(np.flatnonzero(~test)), photos.take(np.flatnonzero(test))


def _read(place: Path) -> pa.Table:
    if place.suffix not in TABLES:
        cause = "no such folder" if not place.exists() else "is neither a folder nor a table"
        raise InputError(place, cause, "name a folder of class folders, a .csv or a .parquet")
    try:
        if place.suffix == ".parquet":
            return pyarrow.parquet.read_table(place)
        return pyarrow.csv.read_csv(place)
    except FileNotFoundError:
        raise InputError(place, "no such file", "check the path") from None
    except (pa.ArrowInvalid, OSError) as error:
        cause = " ".join(str(error).split())
        raise InputError(place, f"cannot be read ({cause})", "correct it") from None


def _column(table: pa.Table, known: tuple[str, ...], place: Path) -> str:
    for name in known:
        if name in table.column_names:
            return name
    cause = f"has no column {known[0]} (it has {', '.join(table.column_names[:8])})"
    raise InputError(place, cause, f"call one of them {known[0]}")


def _split_tags(values: list[Any], separator: str | None) -> list[list[str]]:
    texts = [value for value in values if isinstance(value, str)]
    if separator is None:
        separator = next((s for s in SEPARATORS if any(s in text for text in texts)), " ")
    rows = []
    for value in values:
        parts = (
            value
            if isinstance(value, list)
            else str("" if value is None else value).split(separator)
        )
        rows.append([str(part).strip() for part in parts if str(part).strip()])
    return rows
