"""Licences and authors of the images of an export: counted, and one line an image that needs it.

    ATTRIBUTION.md    images and authors by licence and by source
    attribution.csv   ImageID,URL,LandingURL,Title,Author,AuthorURL,Licence

A line is written for each image with a licence, unless the licence waives attribution (CC0, public
domain). An image without a stated licence is counted: that nothing is stated grants nothing.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from mlimages.labels.exports.values import public_uris
from mlimages.labels.exports.view import Block

LINES, SUMMARY = "attribution.csv", "ATTRIBUTION.md"
HEADER = ("ImageID", "URL", "LandingURL", "Title", "Author", "AuthorURL", "Licence")
_OPTIONAL = ("landing_url", "title", "author", "author_url")
_WAIVED = re.compile(r"cc0|publicdomain|public domain|\bpdm\b|no known copyright", re.IGNORECASE)


def needs_attribution(licence: str) -> bool:
    """Whether a licence asks for its author's name; one that is not known is taken to."""
    return bool(licence) and _WAIVED.search(licence) is None


class Attribution:
    """Gathers licences block by block and writes both files into a folder.

    Use as a context; `add` each block, then `finish`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = open(folder / LINES, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(HEADER)
        self._images: Counter[tuple[str, str]] = Counter()  # by source and licence
        self._by_licence: Counter[str] = Counter()
        self._authors: dict[str, set[str]] = {}
        self.lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of lines."""
        self._file.close()

    def add(self, block: Block) -> None:
        """Take in the images of a block."""
        licences = block.images["licence"].combine_chunks().fill_null("")
        lists = block.images["sources"].combine_chunks()
        pairs = pa.table(
            [lists.flatten(), licences.take(lists.value_parent_indices())], ["source", "licence"]
        )
        for row in pairs.group_by(["source", "licence"]).aggregate([([], "count_all")]).to_pylist():
            self._images[row["source"], row["licence"]] += row["count_all"]
        for value in licences.value_counts().to_pylist():
            self._by_licence[value["values"]] += value["counts"]
        if licences.null_count == 0 and self._by_licence.keys() == {""}:
            return
        for record in block.records():
            licence = record["licence"] or ""
            if record["author"]:
                self._authors.setdefault(licence, set()).add(record["author"])
            if needs_attribution(licence):
                self._write(record, licence)

    def licences(self) -> list[tuple[str, int]]:
        """(licence, images), the most frequent first; "" where none is stated."""
        return sorted(self._by_licence.items(), key=lambda item: (-item[1], item[0]))

    def based_on(self) -> list[dict[str, Any]]:
        """Each source with its licences, for Croissant."""
        found = []
        for source in sorted({source for source, _ in self._images}):
            held = sorted((n, name) for (s, name), n in self._images.items() if s == source)
            work: dict[str, Any] = {"@type": "sc:CreativeWork", "name": source}
            work["description"] = f"{sum(n for n, _ in held):,} images"
            licences = [name for _, name in reversed(held) if name]
            if licences:
                work["license"] = licences
            found.append(work)
        return found

    def finish(self) -> None:
        """Write the summary."""
        lines = [
            "# Attribution",
            "",
            f"{sum(self._by_licence.values()):,} images; {self.lines:,} of them need attribution "
            f"and have a line each in {LINES}.",
            "",
            "| licence | images | authors |",
            "|---|---|---|",
        ]
        for name, count in self.licences():
            authors = len(self._authors.get(name, ()))
            lines.append(f"| {_cell(name)} | {count:,} | {authors:,} |")
        lines += ["", "| source | licence | images |", "|---|---|---|"]
        for (source, name), count in sorted(self._images.items()):
            lines.append(f"| {_cell(source)} | {_cell(name)} | {count:,} |")
        text = "\n".join([*lines, ""])
        (self._folder / SUMMARY).write_text(text, encoding="utf-8")

    def _write(self, record: dict[str, Any], licence: str) -> None:
        landing, title, author, author_url = (record.get(name) for name in _OPTIONAL)
        url = next(iter(public_uris(record["uris"])), None)
        self._writer.writerow((record["id"], url, landing, title, author, author_url, licence))
        self.lines += 1


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "none stated"
