"""The TFRecords of the Tencent ML-Images release.

Each record is a tf.train.Example: `image` (the bytes of a JPEG), `label` (a float32 a category, as
raw bytes or as a list; above 0 where the tag is there), `width`, `height` and `name`. The bytes of
the photos stay where they are: an image's address is the piece of the file that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.labels.protobuf import WireError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import range_uri, split_of_name, stem
from mlimages.labels.sources.streams import files_of, is_remote, name_of
from mlimages.labels.sources.tfrecord_files import (
    Feature,
    Record,
    parse_example,
    read_records,
)
from mlimages.labels.streams import Readings, one_or_many
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy

SUFFIXES = (".tfrecord", ".tfrecords")


class _BadRecordError(Exception):
    """A record that cannot be taken in; the message says why."""


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "tencent",
    split: str | None = None,
    single_label: bool = False,
) -> Readings:
    """Read one file, or all files NAME.tfrecords of a folder.

    A record with anything wrong (its checksum, its form, a confidence that is not in [0, 1], labels
    of another number than there are categories) is a reject.

    Args:
        path: a file, or a folder.
        taxonomy: its indices are the labels' indices.
        source: name of the source.
        split: the split of all images; by default what the file's name begins with, else train.
        single_label: whether the images carry one tag by design.

    Raises:
        InputError: no such file, or none in the folder; or an address instead of a path.
    """
    if is_remote(path):
        raise InputError(path, "the photos in it are read in place", "copy it to this machine")
    found = files_of(path)
    files = [file for file in found if file.endswith(SUFFIXES)] or (
        found if Path(path).is_file() else []
    )
    if not files:
        raise InputError(path, "holds no TFRecords", "name a file, or a folder of NAME.tfrecords")
    builder = ReadingBuilder(source, "tfrecord", single_label=single_label)
    return one_or_many(_chunks(files, len(taxonomy), builder, split))


def _chunks(
    files: list[str], categories: int, builder: ReadingBuilder, split: str | None
) -> Iterator[Reading]:
    for file in files:
        of_file = split or split_of_name(name_of(file))
        for record in track(read_records(file), name_of(file), unit="records"):
            try:
                _take(record, file, categories, builder, of_file)
            except (WireError, _BadRecordError) as error:
                builder.reject(record.location, str(error))
            if builder.is_full:
                yield builder.take()
    yield builder.build()


def _take(
    record: Record, file: str, num_categories: int, builder: ReadingBuilder, split: str | None
) -> None:
    """Turn a record into an image with its facts."""
    if record.data is None:
        raise _BadRecordError(record.wrong)
    features = parse_example(record.data)
    photo = features.get("image", Feature()).spans
    if len(photo) != 1:
        raise _BadRecordError(f"{len(photo)} values of `image`, not 1")
    label = _label(record.data, features.get("label", Feature()), num_categories)
    names = features.get("name", Feature()).spans
    start, length = photo[0]
    uri = range_uri(record.offset + start, length, file)
    name = None
    if names:
        first, size = names[0]
        name = stem(record.data[first : first + size].decode("utf-8", "backslashreplace"))
    image = builder.add_image(record.location, uri, name, split=split, size=_size(features))
    if image is not None:
        for category in np.flatnonzero(label).tolist():
            builder.add_fact(image, category, float(label[category]))


def _label(data: bytes, feature: Feature, num_categories: int) -> np.ndarray:
    """float32 [categories]."""
    label = feature.floats
    if len(feature.spans) == 1:
        start, length = feature.spans[0]
        if length % 4:
            raise _BadRecordError(f"`label` has {length:,} bytes, which is no float32 array")
        label = np.frombuffer(data, "<f4", length // 4, start)
    if len(label) != num_categories:
        raise _BadRecordError(
            f"`label` has {len(label):,} values, but there are {num_categories:,} categories"
        )
    if not np.all((label >= 0) & (label <= 1)):
        wrong = label[~((label >= 0) & (label <= 1))][0]
        raise _BadRecordError(f"`label` holds the confidence {wrong}, not in 0 to 1")
    return label


def _size(features: dict[str, Feature]) -> tuple[int, int] | None:
    sides = [features.get(name, Feature()).integers for name in ("width", "height")]
    if all(len(side) == 1 and 0 < side[0] < 1 << 31 for side in sides):
        return sides[0][0], sides[1][0]
    return None
