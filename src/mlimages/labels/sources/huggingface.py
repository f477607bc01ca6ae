"""Hugging Face's data sets: an imagefolder with a table of metadata beside its photos.

    train/metadata.csv (or .jsonl, .parquet)     columns: file_name, and label, labels or tags
    train/0001.jpg                               file_name is relative to the table's folder
    test/metadata.csv

The tables are read as those of `table`; a class number needs the list of class names. Where there
is no such table, Parquet files that name their classes are read (`huggingface_parquet.py`), as
`mlimages export huggingface` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mlimages.errors import InputError, UnknownCategoryError, UsageError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.class_names import class_resolver
from mlimages.labels.sources.files import SPLIT_FOLDERS
from mlimages.labels.sources.huggingface_parquet import ParquetReader, class_names_of
from mlimages.labels.sources.label_space import Meaning, find_label_map, label_meanings
from mlimages.labels.sources.streams import (
    absolute,
    files_of,
    is_remote,
    name_of,
    stem_of,
    suffix_of,
)
from mlimages.labels.sources.table import TableReader, resolver
from mlimages.labels.sources.table_rows import KINDS, PARQUET
from mlimages.labels.streams import Readings, one_or_many
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

EXPECTED = "metadata.csv, .jsonl or .parquet in it, or Parquet files that name their classes"
LABEL_MAP = "label-map.tsv"  # that an export leaves beside its files


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "huggingface",
    split: str | None = None,
    label_map: str | Path | LabelMap | None = None,
    classes: Path | str | None = None,
    field: str | None = None,
    separator: str = " ",
    single_label: bool = False,
) -> Readings:
    """Read all tables of metadata of a folder; rejects are as in `table`.

    Args:
        path: the folder, or one table. Parquet files of named classes are read when there is no
            table of metadata; a label-map.tsv in the folder says what the names mean.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all images; by default that of a column, else of the folder.
        label_map: what the labels mean: "coco", "voc", a TSV, or the map.
        classes: file of class names, when labels are class numbers.
        field: name of the column of labels, when it is not label, labels, tag or tags.
        separator: what stands between the labels of a cell.
        single_label: whether images carry one tag by design.

    Raises:
        InputError: no such folder, no table of metadata in it, or columns are missing.
        UsageError: `classes` for Parquet files that name theirs.
    """
    root = absolute(path)
    files = files_of(root)
    tables = [file for file in files if stem_of(file) == "metadata" and suffix_of(file) in KINDS]
    if not tables:
        named = [file for file in files if suffix_of(file) in PARQUET]
        found = class_names_of(named[0], field) if named else None
        if found is not None:
            if classes is not None:
                raise UsageError("--classes", "the tables name their classes", "leave it out")
            builder = ReadingBuilder(source, "huggingface", single_label=single_label)
            meaning_of = _meanings(label_map or _map_beside(root), taxonomy)
            return one_or_many(
                _parquet_chunks(ParquetReader(builder, *found, meaning_of, split), named, root)
            )
    if not tables and files == [root]:
        tables = [root]
    if not tables:
        raise InputError(path, "holds no table", f"name a folder with {EXPECTED}")
    map_ = find_label_map(label_map) if label_map is not None else None
    resolve = class_resolver(resolver(taxonomy, map_), classes, numbers_are_labels=map_ is not None)
    builder = ReadingBuilder(source, "huggingface", single_label=single_label)
    reader = TableReader(builder, resolve, split, separator, field.lower() if field else None)
    return one_or_many(_chunks(reader, tables, root))


def _chunks(reader: TableReader, tables: list[str], root: str) -> Iterator[Reading]:
    for table in tables:
        yield from reader.read(table, default_split=_split_of(table, root))
    yield reader.builder.build()


def _parquet_chunks(reader: ParquetReader, tables: list[str], root: str) -> Iterator[Reading]:
    for table in tables:
        yield from reader.read(table)
    reader.finish(root)
    yield reader.builder.build()


def _map_beside(root: str) -> Path | None:
    path = Path(root) / LABEL_MAP
    return path if not is_remote(root) and path.is_file() else None


def _meanings(
    label_map: str | Path | LabelMap | None, taxonomy: Taxonomy
) -> Callable[[str], Meaning | None]:
    """From a class's name to what it says: by the map, else by the vocabulary's own names."""
    if label_map is not None:
        return label_meanings(find_label_map(label_map), taxonomy).get

    def by_name(name: str) -> Meaning | None:
        try:
            # A class that is called 7 is not the seventh category.
            return None if name.isdigit() else Meaning((taxonomy.resolve(name),), True)
        except UnknownCategoryError:
            return None

    return by_name


def _split_of(table: str, root: str) -> str | None:
    """The split that a folder between the data set's and the table's is called after."""
    folders = [name_of(root), *os.path.relpath(table, root).split("/")[:-1]]
    return next((SPLIT_FOLDERS[name] for name in reversed(folders) if name in SPLIT_FOLDERS), None)
