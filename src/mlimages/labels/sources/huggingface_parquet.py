"""Hugging Face's Parquet tables whose labels are numbers of named classes (ClassLabel).

    data/train-00000.parquet     id, uris, labels, confidences, reasons, absent, licence, ...

Of the columns only `id` and the labels are needed; the schema's metadata hold the names of the
classes. That is what `mlimages export huggingface` writes: an ancestor among its tags is left out
here, since it is derived again, and a tag that another one brought along counts as a machine's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import SPLIT_FOLDERS
from mlimages.labels.sources.json_values import parse_json
from mlimages.labels.sources.label_space import Meaning
from mlimages.labels.sources.streams import name_of, stem_of
from mlimages.labels.sources.table_rows import open_parquet
from mlimages.labels.tags import ANCESTOR, ASSERTED, COOCCURRENCE
from mlimages.progress import track
from mlimages.schemas import READING_IMAGES

LABELS = ("labels", "label", "tags", "tag")
BATCH_ROWS = 1 << 13
_FEATURES = b"huggingface"
_DESCRIBED = [n for n in READING_IMAGES.names if n not in ("id", "uri", "split", "more_uris")]
_SHARD = re.compile(r"(.+?)-\d{5}(?:-of-\d{5})?", re.ASCII)
_LOCAL = ("tar://", "range://", "file://")


def class_names_of(file: str, field: str | None = None) -> tuple[str, list[str]] | None:
    """(column, names of its classes) of a table, or None when it has no such column.

    Args:
        file: a Parquet file.
        field: the column; by default the first of LABELS that is one.

    Raises:
        InputError: the file is not Parquet.
    """
    metadata = open_parquet(file).schema_arrow.metadata or {}
    features, _ = parse_json(metadata.get(_FEATURES, b"{}"))
    for key in ("info", "features"):
        features = features.get(key) if isinstance(features, dict) else None
    for column in (field,) if field is not None else LABELS:
        feature = features.get(column) if isinstance(features, dict) else None
        if isinstance(feature, list) and len(feature) == 1:  # how older versions write a list
            feature = feature[0]
        elif isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return column, names
    return None


class ParquetReader:
    """Reads tables into a builder.

    Args:
        builder: where images and facts go.
        column: of the labels.
        names: of the classes.
        meaning_of: from a class's name to what it says of the vocabulary, if anything.
        split: the split of all images; by default what a file is called after.
    """

    def __init__(
        self,
        builder: ReadingBuilder,
        column: str,
        names: list[str],
        meaning_of: Callable[[str], Meaning | None],
        split: str | None,
    ) -> None:
        self.builder, self._column, self._names, self._split = builder, column, names, split
        self._meanings = [meaning_of(name) for name in names]
        self._unmapped: Counter[str] = Counter()

    def read(self, file: str) -> Iterator[Reading]:
        """Read one table, giving out a reading whenever the builder is full.

        Raises:
            InputError: there is no column of ids, the classes are others than in the first table,
                or the file is damaged.
        """
        if class_names_of(file, self._column) != (self._column, self._names):
            raise InputError(file, "has other classes than the table before", "import each")
        table = open_parquet(file)
        schema = table.schema_arrow
        for name, action in (("id", "give each image a name in it"), (self._column, "add it")):
            if name not in schema.names:
                raise InputError(file, f"has no column {name}", action)
        if "image" in schema.names:
            self.builder.note("the photos in the column image are not taken in, only their labels")
        columns = ["id", self._column, "uris", "confidences", "reasons", "absent"]
        columns = [name for name in columns if name in schema.names]
        for name in _DESCRIBED:
            if name in schema.names and schema.field(name).type == READING_IMAGES.field(name).type:
                columns.append(name)
        number, split = 0, self._split or _split_of(file)
        try:
            batches = table.iter_batches(BATCH_ROWS, columns=columns)
            for batch in track(batches, name_of(file), unit="batches"):
                for row in batch.to_pylist():
                    number += 1
                    self._take(f"{file}: row {number}", row, split)
                if self.builder.is_full:
                    yield self.builder.take()
        except (pa.ArrowException, OSError, ValueError) as error:
            where = f"{file}: row {number + 1}"
            raise InputError(where, str(error), "name an intact table") from None

    def finish(self, place: str) -> None:
        """Name the classes that have no category."""
        for name, count in self._unmapped.most_common():
            reason = f"{count:,} images: it has no category"
            self.builder.reject_line(f"{place}: class {name}", reason)

    def _take(self, location: str, row: dict[str, Any], split: str | None) -> None:
        labels = _as_list(row[self._column])
        confidences = _as_list(row.get("confidences", [1.0] * len(labels)))
        reasons = _as_list(row.get("reasons", [ASSERTED] * len(labels)))
        if not isinstance(row["id"], str) or not row["id"]:
            return self.builder.reject(location, "has no id")
        if not len(labels) == len(confidences) == len(reasons):
            cause = f"{len(labels)} labels, {len(confidences)} confidences, {len(reasons)} reasons"
            return self.builder.reject(location, cause)
        facts: list[tuple[int, float, bool, str]] = []
        wrong: list[str] = []
        said = 0
        for label, confidence, reason in zip(labels, confidences, reasons, strict=True):
            said += 1
            if reason == ANCESTOR:
                continue
            if not isinstance(confidence, float) or not 0 < confidence <= 1:
                wrong.append(f"confidence {confidence!r} is not above 0 and at most 1")
                continue
            kind = "machine" if reason == COOCCURRENCE else "asserted"
            for category in self._categories(label, True, wrong):
                facts.append((category, confidence, True, kind))
        for label in _as_list(row.get("absent")):
            said += 1
            for category in self._categories(label, False, wrong):
                facts.append((category, 1.0, False, "asserted"))
        if wrong and len(wrong) == said:
            return self.builder.reject(location, wrong[0])
        uris = [uri for uri in _as_list(row.get("uris")) if isinstance(uri, str)]
        public = [uri for uri in uris if "://" in uri and not uri.startswith(_LOCAL)]
        if len(public) < len(uris):
            wrong.append("a place that is no public address")
        described = {name: row[name] for name in _DESCRIBED if name in row}
        more = public[1:] or None
        image = self.builder.add_image(
            location, next(iter(public), None), row["id"], split=split, more_uris=more, **described
        )
        if image is not None:
            for category, confidence, present, kind in facts:
                self.builder.add_fact(image, category, confidence, present=present, kind=kind)
            for cause in wrong:
                self.builder.reject_line(location, cause)
        return None

    def _categories(self, label: Any, present: bool, wrong: list[str]) -> tuple[int, ...]:
        """What a label says is there, or not; adds to `wrong` where it is no class."""
        if type(label) is not int or not 0 <= label < len(self._names):
            wrong.append(f"class {label!r} is unknown, there are {len(self._names):,}")
            return ()
        meaning = self._meanings[label]
        if meaning is None:
            self._unmapped[self._names[label]] += 1
            return ()
        return meaning.categories if present or meaning.denies else ()


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _split_of(file: str) -> str | None:
    """`data/train-00000-of-00002.parquet` -> train; as an export writes it, `%20` is a space."""
    shard = _SHARD.fullmatch(stem_of(file))
    if shard is None:
        return SPLIT_FOLDERS.get(stem_of(file))
    return SPLIT_FOLDERS.get(shard[1], unquote(shard[1]))
