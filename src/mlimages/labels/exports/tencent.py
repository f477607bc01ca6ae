"""The label lists of the Tencent ML-Images release, and its dictionary.

    train_image_id_from_imagenet.txt   n04310904/n04310904_8388.JPEG<TAB>2367:1<TAB>2172:1
    train_urls_from_openimages.txt     https://...jpg<TAB>4767:0.9<TAB>4765:0.9
    train_im_list.txt                  name.jpg<TAB>1193:1      (several tags, but no URL)
    dictionary_and_semantic_hierarchy.txt

A split has its files; `validation` is called `val`, as in the release. The first two are the images
of single-label sources, and the others. Tags ascend by index; in the release they go from a
specific category to its ancestors, and 1 is sometimes written 1.0: the databases that both give are
equal.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from mlimages.labels.exports.files import part_name
from mlimages.labels.exports.values import confidence_text, public_uris
from mlimages.labels.exports.view import Block, View
from mlimages.labels.identity import image_id
from mlimages.labels.sources.files import has_image_name, stem
from mlimages.taxonomy.dictionary import write_dictionary

CARRIES = frozenset({"ids", "splits", "urls", "confidences", "hierarchy", "further_names"})
SINGLE, MULTI, NAMED = "image_id_from_imagenet", "urls_from_openimages", "im_list"
DICTIONARY = "dictionary_and_semantic_hierarchy.txt"
_IMAGENET = re.compile(r"(n\d{8})_\d+")


def write(view: View, folder: Path) -> None:
    """Write the lists and the dictionary into `folder`."""
    write_dictionary(view.taxonomy, folder / DICTIONARY)
    with ExitStack() as stack:
        files: dict[tuple[str, str], TextIO] = {}
        for block in view.blocks("lists"):
            for key, line in _lines(view, block):
                if key not in files:
                    split, part = key
                    name = f"{'val' if split == 'validation' else part_name(split)}_{part}.txt"
                    file = open(folder / name, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
                    files[key] = stack.enter_context(file)
                files[key].write(line)


def _lines(view: View, block: Block) -> list[tuple[tuple[str, str], str]]:
    """((split, part), line) of each image."""
    pairs = [
        f"\t{category}:{confidence_text(confidence)}"
        for category, confidence in zip(
            block.tags.categories.tolist(), block.tags.confidences.tolist(), strict=True
        )
    ]
    lines = []
    for record, (begin, end), split, single in zip(
        block.records(), block.ranges(), block.splits, block.single.tolist(), strict=True
    ):
        part, listed = _listed(record, single)
        if image_id(listed, stem(listed)) != record["id"]:
            view.lose("ids of {n} images that their URL does not give")
        if begin == end:
            view.lose("the splits of {n} images without tags")
        lines.append(((split, part), listed + "".join(pairs[begin:end]) + "\n"))
    return lines


def _listed(record: dict[str, Any], single: bool) -> tuple[str, str]:
    """The kind of list an image belongs to, and what the list calls it."""
    urls = [uri for uri in public_uris(record["uris"]) if uri.startswith(("http://", "https://"))]
    synset = _IMAGENET.fullmatch(record["id"])
    if single and synset is not None:
        return SINGLE, f"{synset[1]}/{record['id']}.JPEG"
    usable = [url for url in urls if not re.search(r"\s", url)]
    if usable:
        return (SINGLE if single else MULTI), usable[0]
    # Local places are not published, but their suffix is what the list's reader looks for.
    suffixes = (os.path.splitext(uri.partition("::")[0])[1] for uri in record["uris"])
    suffix = next((suffix for suffix in suffixes if has_image_name("x" + suffix)), ".jpg")
    return (SINGLE if single else NAMED), record["id"] + suffix
