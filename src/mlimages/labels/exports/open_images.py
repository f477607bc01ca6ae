"""CSV files in the layout of Open Images V4 to V7: image-level labels and image metadata.

    SPLIT-annotations-human-imagelabels.csv     ImageID,Source,LabelName,Confidence  (1 or 0)
    SPLIT-annotations-machine-imagelabels.csv   the same, confidences between 0 and 1
    SPLIT-images-with-labels-with-rotation.csv  ImageID,Subset,OriginalURL,...,OriginalMD5,...
    class-descriptions.csv                      LabelName,DisplayName
    label-map.tsv                               from LabelName to the category, to import it again

The human file holds what a person verified: facts of the kinds `verified` and `correction`, and
every absence that is stated. All other tags are in the machine file, whoever gave them: nobody
verified them. LabelName is the category's key: a wnid, or the MID of a key such as
`open_images:/m/01g317`.
"""

from __future__ import annotations

import base64
import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mlimages.labels.exports.files import part_name
from mlimages.labels.exports.values import LABEL_MAP, confidence_text, public_uris, write_label_map
from mlimages.labels.exports.view import Block, View
from mlimages.labels.sparse import contains, make_keys
from mlimages.schemas import FACT_KINDS

CARRIES = frozenset(
    {"absences", "confidences", "ids", "splits", "urls", "licence", "author"}
    | {"landing_url", "author_url", "title", "bytes", "md5", "thumbnail_url", "rotation"}
)
LABEL_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence")
IMAGE_COLUMNS = {
    "ImageID": "id",
    "Subset": "",
    "OriginalURL": "",
    "OriginalLandingURL": "landing_url",
    "License": "licence",
    "AuthorProfileURL": "author_url",
    "Author": "author",
    "Title": "title",
    "OriginalSize": "bytes",
    "OriginalMD5": "md5",
    "Thumbnail300KURL": "thumbnail_url",
    "Rotation": "rotation",
}
"""Columns of the image file, and which column of schemas.IMAGES each is, where there is one."""
_MD5 = list(IMAGE_COLUMNS).index("OriginalMD5")  # in base64 there, hexadecimal here
CLASS_COLUMNS = ("LabelName", "DisplayName")
CLASSES = "class-descriptions.csv"
HUMAN, MACHINE = "annotations-human-imagelabels", "annotations-machine-imagelabels"
IMAGES = "images-with-labels-with-rotation"
TABLES = (
    ("human_labels", "labels that a person verified, 1 or 0", f"*-{HUMAN}.csv", LABEL_COLUMNS),
    ("machine_labels", "labels that nobody verified", f"*-{MACHINE}.csv", LABEL_COLUMNS),
    ("images", "an image a row", f"*-{IMAGES}.csv", tuple(IMAGE_COLUMNS)),
    ("classes", "the names of the labels", CLASSES, CLASS_COLUMNS),
)
"""(name, what it is, pattern of its files, columns) of each table."""
_HUMAN_KINDS = [FACT_KINDS.index(kind) for kind in ("verified", "correction")]


def write(view: View, folder: Path) -> None:
    """Write the files of each split into `folder`."""
    names = [label_name(category.key) for category in view.taxonomy.categories]
    write_label_map(folder / LABEL_MAP, names, view.taxonomy)
    with ExitStack() as stack:
        writers: dict[tuple[str, str], Any] = {}

        def writer(split: str, part: str, columns: tuple[str, ...]) -> Any:
            if (split, part) not in writers:
                path = folder / f"{part_name(split)}-{part}.csv"
                file = stack.enter_context(open(path, "w", encoding="utf-8", newline=""))
                writers[split, part] = csv.writer(file, lineterminator="\n")
                writers[split, part].writerow(columns)
            return writers[split, part]

        with open(folder / CLASSES, "w", encoding="utf-8", newline="") as file:
            classes = csv.writer(file, lineterminator="\n")
            classes.writerow(CLASS_COLUMNS)
            classes.writerows(
                (name, category.names[0])
                for name, category in zip(names, view.taxonomy.categories, strict=True)
            )
        for split in view.split_names:
            writer(split, HUMAN, LABEL_COLUMNS)
            writer(split, MACHINE, LABEL_COLUMNS)
            writer(split, IMAGES, tuple(IMAGE_COLUMNS))
        for block in view.blocks("images"):
            for record, split in zip(block.records(), block.splits, strict=True):
                writer(split, IMAGES, ()).writerow(_image_row(record, split))
            ids = block.images["id"].to_pylist()
            for place, category, value in _human(block):
                row = (ids[place], "verification", names[category], value)
                writer(block.splits[place], HUMAN, ()).writerow(row)
            for place, category, confidence in _machine(block):
                machine_row = (ids[place], "machine", names[category], confidence_text(confidence))
                writer(block.splits[place], MACHINE, ()).writerow(machine_row)


def label_name(key: str) -> str:
    """The LabelName of a category: the MID in its key, else its key."""
    local = key.partition(":")[2]
    return local if local.startswith(("/m/", "/g/", "/t/")) else key


def _image_row(record: dict[str, Any], split: str) -> list[Any]:
    row = [record.get(column) for column in IMAGE_COLUMNS.values()]
    row[1], row[2] = split, next(iter(public_uris(record["uris"])), None)
    if record.get("md5"):
        row[_MD5] = base64.b64encode(bytes.fromhex(record["md5"])).decode()
    return row


def _stated(block: Block) -> np.ndarray:
    """bool [facts]: those of the human file."""
    return np.isin(block.facts.kinds, _HUMAN_KINDS) | ~block.facts.present


def _human(block: Block) -> list[tuple[int, int, int]]:
    """(image's position, category, 1 or 0) of the human file, each once, absences first."""
    kept = _stated(block)
    place = np.searchsorted(block.rows, block.facts.rows[kept])
    values = block.facts.present[kept].astype(np.int64)
    keys = make_keys(place, block.facts.categories[kept]) << 1 | values
    rows = np.unique(keys)
    columns = (rows >> 25, rows >> 1 & (1 << 24) - 1, rows & 1)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _machine(block: Block) -> list[tuple[int, int, float]]:
    """(image's position, category, confidence) of the tags that no person verified."""
    tags = block.tags
    place = np.repeat(np.arange(len(block)), np.diff(tags.indptr))
    facts = block.facts
    verified = _stated(block) & facts.present
    human = make_keys(np.searchsorted(block.rows, facts.rows[verified]), facts.categories[verified])
    rest = ~contains(np.unique(human), make_keys(place, tags.categories))
    columns = (place[rest], tags.categories[rest], tags.confidences[rest])
    return list(zip(*(column.tolist() for column in columns), strict=True))
