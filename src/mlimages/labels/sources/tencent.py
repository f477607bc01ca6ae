"""The label lists of the Tencent ML-Images release.

    n04310904/n04310904_8388.JPEG<TAB>2367:1<TAB>2172:1
    https://c3.staticflickr.com/7/6080/6071452334_57111b2799_o.jpg<TAB>4767:0.9<TAB>4765:0.9

A line is a URL or a path, then category index and confidence of each tag. The release's README says
that spaces separate them; in the files it is TABs. Both are read. Lines without tags (the list of
photos to classify) are images without facts, in the split `unlabelled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.labels import compiled
from mlimages.labels.reading import Reading
from mlimages.labels.sources.line_blocks import BLOCK_BYTES, Block, ahead, blocks_of
from mlimages.labels.sources.streams import (
    absolute,
    files_of,
    is_folder,
    name_of,
    size_of,
    suffix_of,
)
from mlimages.labels.sources.tencent_lines import LineReader, ListOptions, looks_like_a_list
from mlimages.progress import track
from mlimages.schemas import READING_FACTS, READING_IMAGES
from mlimages.taxonomy.categories import Taxonomy

EXPECTED = "a list with lines `URL or path<TAB>index:confidence ...`"
COMPILED_FROM = 1 << 20  # bytes of a list; for fewer, loading the compiler takes longer


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "tencent",
    split: str | None = None,
    images: Path | str | None = None,
    single_label: bool = False,
) -> Iterator[Reading]:
    """Read one list, or all lists that lie directly in a folder, as a stream of readings.

    A line with anything wrong (a malformed pair, an unknown category, a confidence outside (0, 1],
    a URL that is not http or https, an image listed before) is a reject as a whole: no image comes
    of it, since nothing tells which part of it is right.

    Args:
        path: a list, or a folder of lists.
        taxonomy: its indices are the lists' indices.
        source: name of the source.
        split: the split of all images; by default what the list's name begins with (train or val),
            else train.
        images: folder of the photos; a photo found there by the last part of its URL, or by its
            path, is read from there. Paths are also looked for beside the list and above it.
        single_label: whether the list is of the ImageNet part, with one tag an image by design.

    Raises:
        InputError: no list there, or no folder `images`.
    """
    lists = _lists(path)
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    downloads = Path(images).absolute() if images is not None else None
    options = [
        ListOptions(file, source, len(taxonomy), split, downloads, single_label) for file in lists
    ]
    return (reading for one in options for reading in _read_list(one))


def _read_list(options: ListOptions) -> Iterator[Reading]:
    file, name = options.file, name_of(options.file)
    size = size_of(file)
    blocks = track(blocks_of(file), name, total=-(-size // BLOCK_BYTES), unit="blocks")
    without_tags = without_place = 0
    for reading in ahead(blocks, _reader(options, size)):
        image = reading.facts["image"].to_numpy()
        tagged = np.count_nonzero(np.diff(image)) + 1 if len(image) else 0
        without_tags += reading.images.num_rows - tagged
        without_place += reading.images["uri"].null_count
        yield reading
    yield Reading(
        options.source,
        READING_IMAGES.empty_table(),
        READING_FACTS.empty_table(),
        single_label=options.single_label,
        format="tencent",
        notes=_notes(name, without_tags, without_place),
    )


def _reader(options: ListOptions, size: int) -> Callable[[Block], Reading]:
    if size < COMPILED_FROM or not compiled.available():
        return LineReader(options).read
    from mlimages.labels.sources.tencent_columns import ColumnReader

    return ColumnReader(options).read


def _notes(name: str, without_tags: int, without_place: int) -> list[str]:
    """Tell the user what is missing from many lines at once."""
    notes = []
    if without_tags:
        notes.append(f"{name}: {without_tags:,} images without tags")
    if without_place:
        notes.append(
            f"{name}: {without_place:,} photos not found on this machine; "
            "name their folder with --images"
        )
    return notes


def _lists(path: Path | str) -> list[str]:
    """The file itself, or the lists in a folder, told by their first line."""
    if not is_folder(path):
        return [absolute(path)]
    root = absolute(path).rstrip("/")
    lists = [
        file
        for file in files_of(path)
        if file.rpartition("/")[0] == root
        and suffix_of(file) in (".txt", ".tsv")
        and _is_list(file)
    ]
    if not lists:
        raise InputError(path, "holds no label list", f"name {EXPECTED}")
    # The release lists some photos twice, by URL and by name: the list that has their URLs first.
    return sorted(lists, key=lambda file: "url" not in name_of(file))


def _is_list(file: str) -> bool:
    for block in blocks_of(file):
        for _, line in block.lines():
            text = line.decode("utf-8", "replace")
            if text.strip():
                return looks_like_a_list(text)
    return False
