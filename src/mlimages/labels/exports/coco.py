"""COCO-style JSON, one file a split: image-level annotations, which have no box, area or mask.

pycocotools opens it; what needs boxes (its evaluation, `annToMask`) does not work. Ids of images
are the database's rows, ids of categories its indices. Beyond COCO's fields an annotation has
`score`, its confidence, and a category has `key`, which no other shares; `supercategory` is the
parent in the forest. In `info`, `image_level: true` says that there are no boxes, `split` which
split it is, and `exhaustive: false` that silence about a category is not its absence, for which
most readers of COCO take it; `mlimages import coco` heeds it. label-map.tsv leads from the names to
the categories.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TextIO

from mlimages.labels.exports.files import json_text, part_name
from mlimages.labels.exports.values import (
    LABEL_MAP,
    public_uris,
    short,
    unique_names,
    write_label_map,
)
from mlimages.labels.exports.view import Block, View

CARRIES = frozenset({"confidences", "ids", "splits", "urls", "licence", "sizes", "hierarchy"})
WITHOUT_BYTES = "{n} images whose bytes are not packed"
_PARTS = ("images", "annotations")


def write(view: View, folder: Path) -> None:
    """Write SPLIT.json, and with the images' bytes images/ID.jpg, into `folder`."""
    categories = _categories(view)
    names = [category["name"] for category in categories]
    write_label_map(folder / LABEL_MAP, names, view.taxonomy)
    files: dict[str, _Split] = {}
    try:
        for block in view.blocks("annotations"):
            _take(view, block, files, folder)
        for split in sorted(files):
            files[split].finish(categories)
    finally:
        for file in files.values():
            file.close()


class _Split:
    """A JSON file in the making: two lists grow side by side, in two files joined at the end."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{part_name(split)}.json"
        self._aside = folder / f"{part_name(split)}.annotations"
        self._files: dict[str, TextIO] = {
            "images": open(self.path, "w", encoding="utf-8"),  # noqa: SIM115
            "annotations": open(self._aside, "w+", encoding="utf-8"),  # noqa: SIM115
        }
        self._counts = dict.fromkeys(_PARTS, 0)
        self.licences: dict[str, int] = {}
        info = {"description": "written by mlimages", "image_level": True, "exhaustive": False}
        info["split"] = split
        self._files["images"].write(f'{{"info":{json_text(info)},\n"images":[')

    def add(self, part: str, record: dict[str, Any]) -> None:
        """Append to `images` or `annotations`."""
        self._files[part].write(("\n" if self._counts[part] == 0 else ",\n") + json_text(record))
        self._counts[part] += 1

    def annotation_id(self) -> int:
        """The id of the next annotation."""
        return self._counts["annotations"] + 1

    def licence(self, name: str) -> int:
        """The id of a licence, from 1."""
        return self.licences.setdefault(name, len(self.licences) + 1)

    def finish(self, categories: list[dict[str, Any]]) -> None:
        """Join the lists and close the object."""
        licences = [
            {"id": number, "name": name, "url": name if "://" in name else ""}
            for name, number in self.licences.items()
        ]
        file, aside = self._files["images"], self._files["annotations"]
        file.write('],\n"annotations":[')
        aside.seek(0)
        shutil.copyfileobj(aside, file)
        file.write(f'],\n"categories":{json_text(categories)}')
        file.write(f',\n"licenses":{json_text(licences)}}}\n')

    def close(self) -> None:
        """Close both files; the one aside goes."""
        for file in self._files.values():
            file.close()
        self._aside.unlink(missing_ok=True)


def _take(view: View, block: Block, files: dict[str, _Split], folder: Path) -> None:
    categories = block.tags.categories.tolist()
    confidences = block.tags.confidences.tolist()
    for i, (record, (begin, end)) in enumerate(zip(block.records(), block.ranges(), strict=True)):
        split = block.splits[i]
        if split not in files:
            files[split] = _Split(folder, split)
        file = files[split]
        file.add("images", _image(view, record, file, folder))
        for place in range(begin, end):
            file.add(
                "annotations",
                {
                    "id": file.annotation_id(),
                    "image_id": record["row"],
                    "category_id": categories[place],
                    "score": short(confidences[place]),
                },
            )


def _image(view: View, record: dict[str, Any], file: _Split, folder: Path) -> dict[str, Any]:
    name = f"{record['id']}.jpg"
    found = view.read_image(record["row"]) if view.read_image is not None else None
    if found is not None:
        name = f"{record['id']}.{found.suffix}"
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / name).write_bytes(found.data)
    elif view.read_image is not None:
        view.lose(WITHOUT_BYTES)
    image: dict[str, Any] = {"id": record["row"], "file_name": name}
    image |= {key: record[key] for key in ("width", "height") if record[key] is not None}
    if found is not None:
        image |= {"width": found.width, "height": found.height}
    if record["licence"]:
        image["license"] = file.licence(record["licence"])
    urls = public_uris(record["uris"])
    if urls:
        image["coco_url"] = urls[0]
    return image


def _categories(view: View) -> list[dict[str, Any]]:
    names = unique_names(view.taxonomy)
    parents = view.taxonomy.parents.tolist()
    return [
        {
            "id": category.index,
            "name": names[category.index],
            "supercategory": names[parent] if parent >= 0 else "",
            "key": category.key,
        }
        for category, parent in zip(view.taxonomy.categories, parents, strict=True)
    ]
