"""Hugging Face's imagefolder: photos, and a table of metadata beside them.

    train/metadata.csv (or .jsonl, .parquet)     columns: file_name, and label, labels or tags
    train/0001.jpg                               file_name is relative to the table's folder
    test/metadata.csv

The tables are read as those of `table`; a class number needs the list of class names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.class_names import class_resolver
from mlimages.labels.sources.files import SPLIT_FOLDERS
from mlimages.labels.sources.label_space import find_label_map
from mlimages.labels.sources.streams import absolute, files_of, name_of, stem_of, suffix_of
from mlimages.labels.sources.table import TableReader, resolver
from mlimages.labels.sources.table_rows import KINDS
from mlimages.labels.streams import Readings, one_or_many
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

EXPECTED = "a folder with metadata.csv, metadata.jsonl or metadata.parquet in it"


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
        path: the folder, or one table.
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
    """
    root = absolute(path)
    tables = [
        file for file in files_of(root) if stem_of(file) == "metadata" and suffix_of(file) in KINDS
    ]
    if not tables and files_of(root) == [root]:
        tables = [root]
    if not tables:
        raise InputError(path, "holds no table of metadata", f"expected: {EXPECTED}")
    map_ = find_label_map(label_map) if label_map is not None else None
    resolve = class_resolver(resolver(taxonomy, map_), classes, numbers_are_labels=map_ is not None)
    builder = ReadingBuilder(source, "huggingface", single_label=single_label)
    reader = TableReader(builder, resolve, split, separator, field.lower() if field else None)
    return one_or_many(_chunks(reader, tables, root))


def _chunks(reader: TableReader, tables: list[str], root: str) -> Iterator[Reading]:
    for table in tables:
        yield from reader.read(table, default_split=_split_of(table, root))
    yield reader.builder.build()


def _split_of(table: str, root: str) -> str | None:
    """The split that a folder between the data set's and the table's is called after."""
    folders = [name_of(root), *os.path.relpath(table, root).split("/")[:-1]]
    return next((SPLIT_FOLDERS[name] for name in reversed(folders) if name in SPLIT_FOLDERS), None)
