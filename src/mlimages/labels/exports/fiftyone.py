"""FiftyOne's JSON of labelled images (FiftyOneImageClassificationDataset), a folder a split.

    SPLIT/labels.json   {"classes": [...], "labels": {ID: [{"label": index, "confidence": ...,
                        "attributes": {"reason": ..., "because": ...}}, ...]}}
    SPLIT/data/ID.jpg   with the images' bytes, or else
    SPLIT/data.json     {ID: path on this machine}

    fiftyone.Dataset.from_dir("OUT/train", fiftyone.types.FiftyOneImageClassificationDataset)

gives a field of Classifications. FiftyOne holds no image without a file, so those are left out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TextIO

from mlimages.errors import InputError
from mlimages.labels.exports.files import json_text, part_name
from mlimages.labels.exports.values import short, unique_names
from mlimages.labels.exports.view import Block, View
from mlimages.schemas import TAG_REASONS

CARRIES = frozenset({"confidences", "reasons", "because", "ids", "splits"})
WITHOUT_FILE = "{n} images of which there is no file"


def write(view: View, folder: Path) -> None:
    """Write a folder for each split into `folder`.

    Raises:
        InputError: not one image has a file, on this machine or packed.
    """
    names = unique_names(view.taxonomy)
    splits: dict[str, _Split] = {}
    try:
        for block in view.blocks("samples"):
            _take(view, block, names, splits, folder)
        for split in splits.values():
            split.finish()
    finally:
        for split in splits.values():
            split.close()
    if not splits:
        action = "run: mlimages pack DB, and export with --with-images"
        raise InputError(view.store.root, "none of its images is a file on this machine", action)


class _Split:
    """The files of a split in the making."""

    def __init__(self, folder: Path, names: list[str], with_bytes: bool) -> None:
        self.data = folder / "data"
        (self.data if with_bytes else folder).mkdir(parents=True)
        self._count = 0
        self._labels = open(folder / "labels.json", "w", encoding="utf-8")  # noqa: SIM115
        self._labels.write(f'{{"classes":{json_text(names)},\n"labels":{{')
        self._places: TextIO | None = None
        if not with_bytes:
            self._places = open(folder / "data.json", "w", encoding="utf-8")  # noqa: SIM115
            self._places.write("{")

    def add(self, name: str, labels: list[dict[str, Any]], place: str | None) -> None:
        """Append an image."""
        between = "\n" if self._count == 0 else ",\n"
        self._labels.write(f"{between}{json_text(name)}:{json_text(labels)}")
        if self._places is not None:
            self._places.write(f"{between}{json_text(name)}:{json_text(place)}")
        self._count += 1

    def finish(self) -> None:
        """Write the ends."""
        self._labels.write("}}\n")
        if self._places is not None:
            self._places.write("}\n")

    def close(self) -> None:
        """Close the files."""
        self._labels.close()
        if self._places is not None:
            self._places.close()


def _take(
    view: View, block: Block, names: list[str], splits: dict[str, _Split], folder: Path
) -> None:
    columns = (block.tags.categories, block.tags.confidences, block.tags.reasons)
    labels = [
        {
            "label": category,
            "confidence": short(confidence),
            "attributes": {"reason": TAG_REASONS[reason], "because": names[because]},
        }
        for category, confidence, reason, because in zip(
            *(column.tolist() for column in (*columns, block.tags.because)), strict=True
        )
    ]
    for i, (record, (begin, end)) in enumerate(zip(block.records(), block.ranges(), strict=True)):
        found = view.read_image(record["row"]) if view.read_image else None
        place = next((uri for uri in record["uris"] if os.path.isabs(uri)), None)
        if (found if view.read_image else place) is None:
            view.lose(WITHOUT_FILE)
            continue
        name = block.splits[i]
        if name not in splits:
            splits[name] = _Split(folder / part_name(name), names, view.read_image is not None)
        if found is not None:
            (splits[name].data / f"{record['id']}.{found.suffix}").write_bytes(found.data)
        splits[name].add(record["id"], labels[begin:end], place)
