"""The label files of Open Images: a row an image and a class, up to 165 million of them.

    ImageID,Source,LabelName,Confidence[,XMin,XMax,YMin,YMax,...]
    000026e7ee790996,verification,/m/04hgtk,0

Rows have no line feeds in them, so a file is read in blocks of whole lines. In a block each column
is encoded as its distinct values, and only these are looked at one by one. A block with anything
wrong in it is read again row by row, which names the rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from mlimages.labels.identity import is_safe
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.label_space import Meaning
from mlimages.labels.sources.line_blocks import MOST_LINE_BYTES, Block, blocks_of
from mlimages.labels.sources.streams import name_of
from mlimages.labels.sparse import expand
from mlimages.progress import track
from mlimages.schemas import FACT_KINDS

NEEDED = ("imageid", "source", "labelname", "confidence")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE]-?\d+)?", re.ASCII)
_ZERO = re.compile(r"[0.]+([eE].*)?", re.ASCII)
_KINDS = {name: FACT_KINDS.index(name) for name in ("asserted", "verified", "machine")}
_BOX = "box"
MOST_LABEL = 200  # letters of a class


class Stance(NamedTuple):
    """What a confidence says: present with it, or absent."""

    present: bool
    confidence: float


@dataclass
class LabelReader:
    """Reads label files into a builder.

    Attributes:
        builder: where images and facts go.
        meaning: from a class to what it means in the vocabulary, or None.
        find: from an image's id to the place of its bytes, where that is known at all.
        unmapped: class without a category -> number of its labels.
        mute: labels whose absence says nothing of the category they mean.
    """

    builder: ReadingBuilder
    meaning: Callable[[str], Meaning | None]
    find: Callable[[str], str | None]
    unmapped: Counter[str] = field(default_factory=Counter)
    mute: int = 0

    def read(self, path: str, header: list[str], split: str | None) -> Iterator[Reading]:
        """Read a file, giving out a reading whenever the builder is full.

        Args:
            path: the file.
            header: its columns, in lower case, with NEEDED among them but for `source`.
            split: of images that no other file listed.
        """
        boxes = "xmin" in header
        for block in track(blocks_of(path), name_of(path), unit="blocks"):
            if block.wrong:
                self.builder.reject(f"{path}:{block.first}", block.wrong)
                continue
            if block.first == 1:
                block = Block(2, block.data.partition(b"\n")[2])
                if not block.data:
                    continue
            columns = _columns(block.data, header)
            if columns is None or not self._take(columns, boxes, split):
                self._take_rows(path, block, header, boxes, split)
            if self.builder.is_full:
                yield self.builder.take()

    def _take(self, columns: dict[str, pa.DictionaryArray], boxes: bool, split: str | None) -> bool:
        """Take in a block; False, and nothing taken, when something in it is wrong."""
        ids = columns["imageid"].dictionary.to_pylist()
        stances = [parse_confidence(text) for text in columns["confidence"].dictionary.to_pylist()]
        sources = columns["source"].dictionary.to_pylist()
        labels = columns["labelname"].dictionary.to_pylist()
        kinds = np.array([_kind(_BOX if boxes else name) for name in sources], np.int8)
        if max(map(len, labels), default=0) > MOST_LABEL:
            return False
        if not all(map(is_safe, ids)) or any(isinstance(stance, str) for stance in stances):
            return False
        said = np.array(stances, dtype=np.float64).reshape(-1, 2)[_codes(columns["confidence"])]
        present, kind = said[:, 0].astype(bool), kinds[_codes(columns["source"])]
        if np.any(~present & (kind != _KINDS["verified"])):
            return False
        images = np.array([self._image(name, "", split) for name in ids], np.int32)
        if len(images) and images.min() < 0:  # cannot be: a safe id without a place is always new
            return False
        code = _codes(columns["labelname"])
        counts = np.bincount(code, minlength=len(labels))
        meanings = [self._known(label, int(n)) for label, n in zip(labels, counts, strict=True)]
        indptr = np.cumsum([0, *(len(meaning.categories) for meaning in meanings)])
        categories = np.array([c for m in meanings for c in m.categories], np.int32)
        denies = np.array([meaning.denies for meaning in meanings], bool)
        mute = ~present & ~denies[code]
        self.mute += int(np.count_nonzero(mute & (np.diff(indptr)[code] > 0)))
        rows = np.flatnonzero(~mute)
        owner, place = expand(indptr, code[rows])
        rows = rows[owner]
        image = images[_codes(columns["imageid"])][rows]
        self.builder.add_facts(image, categories[place], said[rows, 1], present[rows], kind[rows])
        return True

    def _take_rows(
        self, path: str, block: Block, header: list[str], boxes: bool, split: str | None
    ) -> None:
        """Take in a block row by row, naming those that are wrong."""
        for number, line in block.lines():
            location = f"{path}:{number}"
            values = _split_row(line, header)
            if isinstance(values, str):
                self.builder.reject(location, values)
                continue
            row = dict(zip(header, values, strict=True))
            if not is_safe(row["imageid"]):
                self.builder.reject(location, f"{row['imageid'][:80]!r} is not an image's id")
                continue
            image = self._image(row["imageid"], location, split)
            stance = parse_confidence(row["confidence"])
            kind = _kind(_BOX if boxes else row.get("source", ""))
            if not isinstance(stance, str) and not stance.present and kind != _KINDS["verified"]:
                stance = "a confidence of 0 that nobody verified says nothing"
            if isinstance(stance, str):
                self.builder.reject_line(location, stance)
                continue
            if len(row["labelname"]) > MOST_LABEL:
                self.builder.reject_line(location, f"{row['labelname'][:80]!r}... is no class")
                continue
            meaning = self._known(row["labelname"], 1)
            if not stance.present and not meaning.denies:
                self.mute += bool(meaning.categories)
                continue
            for category in meaning.categories:
                self.builder.add_fact(
                    image,
                    category,
                    stance.confidence,
                    present=stance.present,
                    kind=FACT_KINDS[kind],
                )

    def _image(self, name: str, location: str, split: str | None) -> int:
        known = self.builder.position_of(name)
        if known is not None:
            return known
        position = self.builder.add_image(location, self.find(name), name, split=split)
        return -1 if position is None else position

    def _known(self, label: str, count: int) -> Meaning:
        meaning = self.meaning(label)
        if meaning is None:
            self.unmapped[label] += count
            return Meaning((), False)
        return meaning


def parse_confidence(text: str) -> Stance | str:
    """What a confidence says, or what is wrong with it: 0 says absent."""
    if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= 1:
        return f"confidence {text[:80]!r} is not a number from 0 to 1"
    if np.float32(text) > 0:
        return Stance(True, float(text))
    if not _ZERO.fullmatch(text):
        return f"confidence {text[:80]!r} is 0 as float32"  # so it would say absent
    return Stance(False, 1.0)


def _kind(source: str) -> int:
    """Position in FACT_KINDS: who says so decides it. V1 calls the verified ones human."""
    if source == "machine":
        return _KINDS["machine"]
    return _KINDS["verified" if "verification" in source or source == "human" else "asserted"]


def _columns(data: bytes, header: list[str]) -> dict[str, pa.DictionaryArray] | None:
    """The needed columns of some rows; None when they are not plain rows of that many columns."""
    if b'"' in data or not data:
        return None
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=header),
            arrow_csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(NEEDED, text),
                include_columns=[name for name in NEEDED if name in header],
                strings_can_be_null=False,
            ),
        ).combine_chunks()
    except pa.ArrowException:
        return None
    columns = {name: table[name].chunk(0) for name in table.column_names}
    if "source" not in columns:
        none = pa.array([""] * table.num_rows, pa.string())
        columns["source"] = none.dictionary_encode()
    return columns


def _codes(column: pa.DictionaryArray) -> NDArray[np.int32]:
    return column.indices.to_numpy()


def _split_row(line: bytes, header: list[str]) -> list[str] | str:
    """The values of a row, or what is wrong with it."""
    if len(line) > MOST_LINE_BYTES:
        return f"longer than {MOST_LINE_BYTES:,} bytes"
    try:
        text = line.decode("utf-8")
        values = next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except csv.Error as error:
        return str(error)
    if not any(values):
        return "empty line"
    if len(values) != len(header):
        return f"{len(values)} columns, not {len(header)}"
    return values
